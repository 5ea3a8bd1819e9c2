"""Every mistake that Vault or its configurer was seen to accept in silence is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from components.vault.lint import lint, require_clean
from tests.unit.vault.examples import addition, changed, configuration, renamed

FIRST = "audit auth policies secrets"
MISSPELT: dict[str, tuple[str, str, str]] = {
    # place in the document, the misspelt key, what the finding offers
    "policies": ("policies", "polices", "policies"),
    "POLICIES": ("policies", "POLICIES", "policies"),
    "secrets engine list": ("secrets", "secret", "secrets"),
    "policy rules": ("policies.0.rules", "rule", "rules"),
    "auth roles": ("auth.0.roles", "role", "roles"),
    "auth config": ("auth.0.config", "configuration", "config"),
    "auth path": ("auth.0.path", "paht", "path"),
    "kubernetes host": ("auth.0.config.kubernetes_host", "kubernets_host", "kubernetes_host"),
    "kubernetes role policies": ("auth.0.roles.0.token_policies", "token_polices", "token_policies"),
    "kubernetes role audience": ("auth.0.roles.0.audience", "audeince", "audience"),
    "kubernetes role lifetime": ("auth.0.roles.0.token_ttl", "token_tll", "token_ttl"),
    "kubernetes role names": (
        "auth.0.roles.0.bound_service_account_names",
        "bound_service_account_name",
        "bound_service_account_names",
    ),
    "engine options": ("secrets.0.options", "option", "options"),
    "engine version": ("secrets.0.options.version", "versoin", "version"),
    "engine configuration": ("secrets.0.configuration.config", "confg", "config"),
    "engine check-and-set": ("secrets.0.configuration.config.0.cas_required", "cas_require", "cas_required"),
    "audit options": ("audit.0.options", "option", "options"),
    "audit file": ("audit.0.options.file_path", "filepath", "file_path"),
}
MISSPELT_LATER: dict[str, tuple[str, str, str]] = {
    "groups": ("groups", "group", "groups"),
    "group aliases": ("group-aliases", "groupAliases", "group-aliases"),
    "group policies": ("groups.0.policies", "policy", "policies"),
    "alias mount": ("group-aliases.0.mountpath", "mount_path", "mountpath"),
    "client secret": ("auth.1.config.oidc_client_secret", "oidc_client_secrt", "oidc_client_secret"),
    "discovery URL": ("auth.1.config.oidc_discovery_url", "oidc_discovery_ur", "oidc_discovery_url"),
    "default role": ("auth.1.config.default_role", "default_rol", "default_role"),
    "bound claims": ("auth.1.roles.0.bound_claims", "bound_claim", "bound_claims"),
    "groups claim": ("auth.1.roles.0.groups_claim", "groups_claims", "groups_claim"),
    "redirect URIs": ("auth.1.roles.0.allowed_redirect_uris", "allowed_redirect_uri", "allowed_redirect_uris"),
    "role policies": ("auth.1.roles.0.token_policies", "token_policy", "token_policies"),
    "user claim": ("auth.1.roles.0.user_claim", "user_claims", "user_claim"),
    "scopes": ("auth.1.roles.0.oidc_scopes", "oidc_scope", "oidc_scopes"),
    "listing": ("auth.1.options.listing_visibility", "listing_visibilty", "listing_visibility"),
}


def set_to(place: str, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(document: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        for part in parents:
            document = document[part]
        document[last] = value

    return change


ACCEPTED_BUT_WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a purge": (set_to("purgeUnmanagedConfig", {"enabled": True}), "it deletes what the others made"),
    "values in the resource": (set_to("startupSecrets", []), "would put values into a custom resource in clear"),
    "an unknown method": (set_to("auth.0.type", "kubernets"), "'kubernets': choose from kubernetes, oidc"),
    "a method without its path": (lambda d: d["auth"][0].pop("path"), r"auth\[0\].path: is missing"),
    "a role without its name": (lambda d: d["auth"][0]["roles"][0].pop("name"), r"roles\[0\].name: is missing"),
    "a role without policies": (lambda d: d["auth"][0]["roles"][0].pop("token_policies"), "token_policies: is missing"),
    "a role without a lifetime": (lambda d: d["auth"][0]["roles"][0].pop("token_ttl"), "token_ttl: is missing"),
    "a role without an audience": (lambda d: d["auth"][0]["roles"][0].pop("audience"), "audience: is missing"),
    "a deprecated lifetime": (set_to("auth.0.roles.0.ttl", 60), "hides what token_ttl says; write token_ttl"),
    "deprecated policies": (set_to("auth.0.roles.0.policies", ["x"]), "write token_policies"),
    "an unknown policy": (set_to("auth.0.roles.0.token_policies", ["nope"]), "'nope' is not a policy of this document"),
    "two roles of one name": (set_to("auth.0.roles.1.name", "snapshot"), "'snapshot' appears twice"),
    "two policies of one name": (set_to("policies.1.name", "external-secrets"), "'external-secrets' appears twice"),
    "an empty policy": (set_to("policies.0.rules", ""), "is empty, which is a policy for nothing"),
    "a misspelt capability": (
        set_to("policies.0.rules", 'path "kv/data/a" { capabilities = ["reed"] }'),
        "did you mean read",
    ),
    "misspelt capabilities": (
        set_to("policies.0.rules", 'path "kv/data/a" { capabilties = ["read"] }'),
        "did you mean capabilities",
    ),
    "a misspelt path": (
        set_to("policies.0.rules", 'paht "kv/data/a" { capabilities = ["read"] }'),
        "did you mean path",
    ),
    "version 1": (set_to("secrets.0.options.version", "1"), "without version 2 a value has no history"),
    "secrets in the audit log": (set_to("audit.0.options.log_raw", "true"), "every secret to the log in clear"),
    "a double-quoted expression": (
        set_to("auth.0.config.kubernetes_host", '${ env "HOST" }'),
        r"does not survive: the operator stores the document as JSON, .* write \$\{ env `NAME` \}",
    ),
    "an unknown function": (set_to("auth.0.config.kubernetes_host", "${ required `X` }"), "does not survive"),
    "an expression without an end": (set_to("auth.0.config.kubernetes_host", "${ env `X`"), "has no end"),
}


def findings(document: dict[str, Any] | str) -> str:
    return "\n".join(map(str, lint(document)))


def test_our_own_documents_are_clean() -> None:
    assert findings(configuration().document()) == ""
    assert findings(addition().document()) == ""


@pytest.mark.parametrize("case", MISSPELT)
def test_a_misspelt_key_of_the_first_document_is_refused(case: str) -> None:
    place, misspelt, meant = MISSPELT[case]
    found = findings(changed(configuration().document(), renamed(place, misspelt)))
    assert f"{misspelt}: no such key" in found
    assert f"did you mean {meant}?" in found


@pytest.mark.parametrize("case", MISSPELT_LATER)
def test_a_misspelt_key_of_the_second_document_is_refused(case: str) -> None:
    place, misspelt, meant = MISSPELT_LATER[case]
    found = findings(changed(addition().document(), renamed(place, misspelt)))
    assert f"{misspelt}: no such key" in found
    assert f"did you mean {meant}?" in found


@pytest.mark.parametrize("case", ACCEPTED_BUT_WRONG)
def test_what_the_configurer_takes_without_a_word_is_found(case: str) -> None:
    change, message = ACCEPTED_BUT_WRONG[case]
    with pytest.raises(ValueError, match=message):
        require_clean(changed(configuration().document(), change))


def test_an_unknown_default_role_is_found() -> None:
    assert "'nobody' is not a role here" in findings(
        changed(addition().document(), set_to("auth.1.config.default_role", "nobody"))
    )


def test_a_role_of_people_without_claims_is_found() -> None:
    document = changed(addition().document(), lambda d: d["auth"][1]["roles"][0].pop("bound_claims"))
    assert "bound_claims: is missing" in findings(document)


def test_a_group_that_the_configurer_cannot_make_is_found() -> None:
    assert "external groups only" in findings(changed(addition().document(), set_to("groups.0.type", "internal")))


def test_text_is_read_as_the_configurer_reads_it() -> None:
    """In a Secret's text, other than in a custom resource, expressions may have double quotes."""
    text = yaml.safe_dump(addition().document()).replace("${ env `OIDC_CLIENT_SECRET` }", '${ env "X" | toJson }')
    assert findings(text) == ""
    assert "token_polices: no such key" in findings(text.replace("token_policies", "token_polices", 1))


def test_a_key_that_appears_twice_in_text_is_found() -> None:
    assert "key 'policies' appears twice" in findings("policies: []\npolicies: []\n")


def test_text_that_is_not_yaml_is_found() -> None:
    assert "is not YAML" in findings("policies: [")
