"""What the typed configuration refuses, and what it renders."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from components.vault.auth import KubernetesAuth, KubernetesRole
from components.vault.clients import platform_configuration
from components.vault.config import Addition, AuditDevice, VaultConfiguration
from components.vault.oidc import ExternalGroup, from_environment
from components.vault.policy import KvEngine, Policy, Rule
from tests.unit.vault.examples import PEOPLE, addition, configuration, oidc, oidc_role


def role(**changes: Any) -> KubernetesRole:
    known: dict[str, Any] = {
        "name": "app",
        "service_accounts": ("app",),
        "namespaces": ("shop",),
        "audience": "vault",
        "policies": ("app",),
        "token_ttl": 600,
    }
    return KubernetesRole(**known | changes)


def policy(path: str = "kv/data/shop/*", **changes: Any) -> Policy:
    return Policy(**{"name": "app", "rules": (Rule(path=path, capabilities=("read",)),)} | changes)


def config(**changes: Any) -> VaultConfiguration:
    known: dict[str, Any] = {
        "audit": (AuditDevice(),),
        "engines": (KvEngine(path="kv", description=""),),
        "auth": (KubernetesAuth(path="kubernetes", roles=(role(),)),),
        "policies": (policy(),),
    }
    return VaultConfiguration(**known | changes)


def addition_with(**changes: Any) -> Addition:
    known: dict[str, Any] = {"first": configuration(), "auth": (oidc(),), "groups": ()}
    return Addition(**known | changes)


def rule(path: str, *capabilities: Any) -> Callable[[], Rule]:
    return lambda: Rule(path=path, capabilities=capabilities)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a role without an audience": (lambda: role(audience=""), "role 'app': without an audience any token .* 'vault'"),
    "a role without a lifetime": (lambda: role(token_ttl=0), "token_ttl 0 s; .* default of 32 days; give what a"),
    "a role for longer than a day": (lambda: role(token_ttl=90_000), "lasts between 1 and 86400 s"),
    "a limit below the lifetime": (lambda: role(token_max_ttl=60), "token_max_ttl 60 s is below token_ttl 600 s"),
    "a role for every account": (lambda: role(service_accounts=("*",)), "lets every service account in; name each"),
    "a role for every namespace": (lambda: role(namespaces=("*",)), "lets every namespace in; name each"),
    "a role for nobody": (lambda: role(namespaces=()), "binds no namespace, so nobody could log in"),
    "a role without a policy": (lambda: role(policies=()), "names no policy, so a login could do nothing"),
    "a role with policy root": (lambda: role(policies=("root",)), "policy root ends every check"),
    "a role in capitals": (lambda: role(name="App"), "role 'App': Vault folds case"),
    "two roles of one name": (
        lambda: KubernetesAuth(path="kubernetes", roles=(role(), role())),
        "auth 'kubernetes': role 'app' appears twice and the second would win; rename one",
    ),
    "a role naming an unknown policy": (
        lambda: config(policies=(policy(name="other"),)),
        "role 'app' of auth 'kubernetes': policy 'app' does not exist, and Vault would not say so; choose from default",
    ),
    "two policies of one name": (lambda: config(policies=(policy(), policy())), "policy 'app' appears twice"),
    "two engines on one path": (
        lambda: config(engines=(KvEngine(path="kv", description=""), KvEngine(path="kv", description="b"))),
        "engine 'kv' appears twice and the second would win",
    ),
    "two auth methods on one path": (
        lambda: config(auth=(KubernetesAuth(path="k8s", roles=()), KubernetesAuth(path="k8s", roles=()))),
        "auth method 'k8s' appears twice",
    ),
    "no audit device": (lambda: config(audit=()), "without a device nothing records who read a secret"),
    "a policy called default": (lambda: policy(name="default"), "is Vault's own and would be overwritten"),
    "a policy without a rule": (lambda: policy(rules=()), "has no rule, which Vault accepts as a policy for nothing"),
    "a path outside every engine": (
        lambda: config(policies=(policy("secret/data/shop/*"),)),
        "'secret/data/shop/\\*' lies in no configured engine; choose from kv, sys, auth, identity",
    ),
    "a path that forgets KV's endpoint": (
        lambda: config(policies=(policy("kv/shop/*"),)),
        "is not a path of KV version 2, whose paths begin with the endpoint; write kv/data/",
    ),
    "a path for every consumer": (lambda: config(policies=(policy("kv/data/*"),)), "spans every consumer's secrets"),
    "a path of wildcards": (lambda: config(policies=(policy("kv/data/+/*"),)), "spans every consumer's secrets"),
    "everything": (lambda: config(policies=(policy("*"),)), "lies in no configured engine"),
    "all of sys": (lambda: config(policies=(policy("sys/*"),)), "is all of sys/; name what is needed"),
    "a path of an auth method that is not there": (
        lambda: config(policies=(policy("auth/ldap/users/x"),)),
        "belongs to no auth method that is configured; choose from kubernetes, token",
    ),
    "an unknown capability": (rule("kv/data/a", "reed"), "Vault knows no capability 'reed'; choose from create, read"),
    "a rule for nothing": (rule("kv/data/a"), "no capability means no access"),
    "deny beside another capability": (rule("kv/data/a", "deny", "read"), "deny takes every other capability away"),
    "a path with a leading slash": (rule("/kv/data/a", "read"), "leave out quotes, backslashes and the leading slash"),
    "one path twice in a policy": (
        lambda: policy(rules=(Rule(path="kv/data/a", capabilities=("read",)),) * 2),
        "path 'kv/data/a' appears twice, and Vault adds both up",
    ),
    "an engine without a history": (
        lambda: KvEngine(path="kv", description="", max_versions=1),
        "1 versions leave nothing to return to after a rotation; keep 2 or more",
    ),
    "an engine's path with a slash at its end": (lambda: KvEngine(path="kv/", description=""), "has no slash around"),
    "people without bound claims": (lambda: oidc_role(claims={}), "every user of the provider logs in"),
    "people with an empty claim": (lambda: oidc_role(claims={"groups": ()}), "every user of the provider logs in"),
    "a redirect to anywhere": (lambda: oidc_role(redirect_uris=("https://*/cb",)), "could hand the login to another"),
    "a redirect without TLS": (lambda: oidc_role(redirect_uris=("http://a/cb",)), "could hand the login to another"),
    "a scope without openid": (lambda: oidc_role(scopes=("email",)), "scope openid makes it OpenID Connect; add it"),
    "a client secret in clear": (lambda: oidc(client_secret="hunter2"), "client_secret would be in plain text"),
    "an unknown default role": (
        lambda: oidc(default_role="nobody"),
        "'nobody' is not one of its roles; choose from",
    ),
    "a second document on the first's path": (
        lambda: addition_with(auth=(oidc(path="kubernetes"),)),
        "auth method 'kubernetes' is in both documents; give the second a path of its own",
    ),
    "a person's role naming an unknown policy": (
        lambda: addition_with(auth=(oidc(roles=(oidc_role(policies=("nope",)),)),)),
        "policy 'nope' does not exist",
    ),
    "a group naming an unknown policy": (
        lambda: addition_with(groups=(ExternalGroup(name="g", mount="oidc", policies=("nope",)),)),
        "group 'g': policy 'nope' does not exist",
    ),
    "a group of another method": (
        lambda: addition_with(groups=(ExternalGroup(name="g", mount="kubernetes", policies=("people",)),)),
        "'kubernetes' is not an auth method of this document; choose from oidc",
    ),
    "a namespace that External Secrets would mistake": (
        lambda: platform_configuration(["kv"], "vault"),
        "namespace 'kv': External Secrets strips a leading kv/",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_vault_would_take_and_nobody_means_is_refused(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_policy_is_rendered_as_hcl() -> None:
    text = policy(rules=(Rule(path="kv/data/a", capabilities=("create", "read")),)).document()["rules"]
    assert text == 'path "kv/data/a" {\n  capabilities = ["create", "read"]\n}\n'


def test_a_role_says_every_field_each_time() -> None:
    """A write to a role changes only what it names, so a field that is left out would keep an old value."""
    roles = [entry["roles"] for entry in addition().document()["auth"]]
    assert [{tuple(role) for role in listed} for listed in roles] == [
        {tuple(role().document())},
        {tuple(oidc_role().document())},
    ]


def test_the_login_of_a_namespace_reaches_its_own_path_alone() -> None:
    rules = {entry["name"]: entry["rules"] for entry in configuration().document()["policies"]}
    own = "{{identity.entity.aliases.${ accessor `kubernetes` }.metadata.service_account_namespace}}"
    assert f'path "kv/data/{own}/*"' in rules["external-secrets"]


def test_without_applications_nobody_may_log_in_for_one() -> None:
    roles = platform_configuration([], "vault").document()["auth"][0]["roles"]
    assert [entry["name"] for entry in roles] == ["snapshot"]


def test_the_second_document_repeats_the_first_ones_auth_methods_before_its_own() -> None:
    """The configurer merges lists by position: anything else lends one method's roles to the other."""
    first, second = configuration().document(), addition().document()
    assert second["auth"][:-1] == first["auth"]
    assert second["auth"][-1]["type"] == "oidc"


def test_the_second_document_brings_nothing_else_that_merges_with_the_first() -> None:
    assert configuration().document().keys() & addition().document().keys() == {"auth"}


def test_a_document_never_purges() -> None:
    assert "purge" not in json.dumps([configuration().document(), addition().document()])


def test_a_group_is_known_by_its_name_in_the_claim() -> None:
    document = addition().document()
    assert document["groups"][0]["type"] == "external"
    assert document["group-aliases"] == [{"name": "vault-admins", "mountpath": "oidc", "group": "vault-admins"}]


def test_an_expression_has_no_character_that_json_escapes() -> None:
    expression = from_environment("X")
    assert json.dumps(expression) == f'"{expression}"'


def test_administrators_may_span_an_engine() -> None:
    assert PEOPLE.name in configuration().policy_names


VAULTS_OWN = {
    # https://developer.hashicorp.com/vault/api-docs/system/policies, .../system/auth, .../system/mounts
    "sys/policies/acl/*",
    "sys/auth",
    "sys/mounts",
    # https://developer.hashicorp.com/vault/api-docs/system/storage/raft
    "sys/storage/raft/configuration",
    "sys/storage/raft/snapshot",
}
"""Paths of Vault itself that somebody of the platform needs. A rule about one that is not there grants nothing."""


def test_a_rule_about_vault_itself_is_of_a_path_that_it_has() -> None:
    document = platform_configuration(["gitea"], "vault").document()
    named = {line.split('"')[1] for one in document["policies"] for line in one["rules"].splitlines() if "path" in line}
    assert {path for path in named if path.startswith("sys/")} == VAULTS_OWN


def test_a_login_of_an_account_takes_a_token_for_vault_alone_and_of_named_accounts() -> None:
    """Unbound, a token that a pod has for the API server, or for somebody else's service, would do."""
    [method] = platform_configuration(["gitea"], "vault").document()["auth"]
    assert method["roles"]
    for one in method["roles"]:
        assert one["audience"] == "vault", one
        assert one["bound_service_account_names"], one
        assert one["bound_service_account_namespaces"], one
        assert "*" not in [*one["bound_service_account_names"], *one["bound_service_account_namespaces"]], one
        assert 0 < one["token_ttl"] <= one["token_max_ttl"], one


def test_a_backup_may_be_taken_with_the_policy_of_its_role_and_nothing_else_with_it() -> None:
    document = platform_configuration(["gitea"], "vault").document()
    [method] = document["auth"]
    [role] = [one for one in method["roles"] if one["name"] == "snapshot"]
    [policy] = [one["rules"] for one in document["policies"] if [one["name"]] == role["token_policies"]]
    assert " ".join(policy.split()) == 'path "sys/storage/raft/snapshot" { capabilities = ["read"] }'
