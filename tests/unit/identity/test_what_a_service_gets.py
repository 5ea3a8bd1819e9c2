"""What Authentik is told of people and services: who gets in, as whom, and with which rights.

The fields are looked up in Authentik's own schema elsewhere (`checks/blueprints.py`); here is what they say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jmespath
import pytest
import yaml

from components.identity.blueprint import Entry
from components.identity.directory import _EXPRESSIONS, User, directory
from components.identity.sso import GROUPS_CLAIM, VALUES_KEY, Service, group
from components.identity.vault_sso import sign_on
from components.secrets.secret_spec import Plain
from components.vault.clients import PEOPLE_ADMIN, PEOPLE_READER, platform_configuration
from stacks import sso

DOMAIN = "example.org"
PROVIDER, APPLICATION = "authentik_providers_oauth2.oauth2provider", "authentik_core.application"
BINDING = "authentik_policies.policybinding"


def entries(service: Service, model: str) -> list[Entry]:
    return [entry for entry in service.entries(DOMAIN, "secret", within=True) if entry.model == model]


def provider(service: Service) -> Mapping[str, Any]:
    [found] = entries(service, PROVIDER)
    return found.attrs


every_service = pytest.mark.parametrize("service", sso.SERVICES, ids=lambda service: service.slug)


@every_service
def test_a_code_goes_only_to_exactly_the_address_of_the_service(service: Service) -> None:
    # A pattern's dot fits any character, and then a domain that somebody else may have.
    given = provider(service)["redirect_uris"]
    assert [uri["matching_mode"] for uri in given] == ["strict"] * len(given)


@every_service
def test_a_service_proves_itself_and_can_verify_a_token(service: Service) -> None:
    told = provider(service)
    assert told["client_type"] == "confidential"
    # Without a key Authentik signs with the client's secret, and publishes nothing to verify with.
    assert told["signing_key"].value == "goauthentik.io/crypto/jwt-managed"


@every_service
def test_a_login_ends_with_a_code_that_buys_a_token(service: Service) -> None:
    """The code flow, which every service here uses; no other gives a token to whoever sees a URL (RFC 9700, 2.1)."""
    assert "authorization_code" in provider(service)["grant_types"]
    assert set(provider(service)["grant_types"]) <= {"authorization_code", "refresh_token"}
    # Without it Authentik refuses the scope: the client of Harbor's command line refreshes what it knows of a user.
    if "offline_access" in service.scopes:
        assert "refresh_token" in provider(service)["grant_types"]


@every_service
def test_the_issuer_in_a_token_is_the_one_that_a_service_asks(service: Service) -> None:
    assert provider(service)["issuer_mode"] == "per_provider"
    assert service.client(DOMAIN, "auth.example.org").issuer.endswith(f"/application/o/{service.slug}/")


@every_service
def test_a_person_is_known_by_a_name_that_a_new_authentik_would_give_them_again(service: Service) -> None:
    assert provider(service)["sub_mode"] == "user_username"


@every_service
def test_the_groups_are_in_the_token_itself(service: Service) -> None:
    # Vault, Synapse and others look there and do not ask for more.
    assert provider(service)["include_claims_in_id_token"] is True


@every_service
def test_a_member_of_any_group_of_a_service_may_open_it_and_nobody_else(service: Service) -> None:
    [application] = entries(service, APPLICATION)
    assert application.attrs["policy_engine_mode"] == "any"
    bindings = [entry.attrs for entry in entries(service, BINDING)]
    assert len(bindings) == len(service.groups)
    assert [(one["enabled"], one["negate"]) for one in bindings] == [(True, False)] * len(bindings)


@every_service
def test_a_service_is_opened_by_its_own_groups_alone(service: Service) -> None:
    bound = {entry.identifiers["group"] for entry in entries(service, BINDING)}
    assert bound == {group(name).reference(True) for name in service.groups}
    assert {name.partition("-")[0] for name in service.groups} == {service.slug}


def test_only_who_is_signed_on_is_sent_on_to_a_service() -> None:
    found = directory(sso.groups(), [])
    [flow] = [entry for entry in found if entry.attrs.get("designation") == "authorization"]
    assert flow.attrs["authentication"] == "require_authenticated"


def test_who_was_shut_out_is_shut_out() -> None:
    users = [
        User(email=f"{name}@example.org", username=name, name=name, groups=(), active=name == "in")
        for name in ("in", "out")
    ]
    active = {
        entry.identifiers["username"]: entry.attrs["is_active"]
        for entry in directory([], users)
        if "is_active" in entry.attrs
    }
    assert active == {"in": True, "out": False}


def evaluated(scope: str) -> dict[str, Any]:
    """What a scope's expression returns, as Authentik evaluates it: as the body of a function."""
    group, parent = SimpleNamespace(name="gitea-users"), SimpleNamespace(name="everybody")
    user = SimpleNamespace(
        name="Some Body", username="somebody", email="somebody@example.org", all_groups=lambda: [group, parent]
    )
    body = "".join(f"    {line}\n" for line in _EXPRESSIONS[scope].splitlines())
    scope_of_names: dict[str, Any] = {}
    exec(f"def mapping(request):\n{body}", scope_of_names)  # noqa: S102 - the program's own text
    found: dict[str, Any] = scope_of_names["mapping"](SimpleNamespace(user=user))
    return found


def test_a_token_says_who_somebody_is_and_in_which_groups_also_by_way_of_another() -> None:
    said = evaluated("profile")
    assert said[GROUPS_CLAIM] == ["everybody", "gitea-users"]
    assert (said["preferred_username"], said["nickname"]) == ("somebody", "somebody")


def test_an_address_that_an_administrator_gave_counts_as_verified() -> None:
    # Services refuse an unverified one, or ask for it again.
    assert evaluated("email") == {"email": "somebody@example.org", "email_verified": True}


def secret(slug: str) -> dict[str, str]:
    [service] = [one for one in sso.SERVICES if one.slug == slug]
    spec = sso.credentials(service, DOMAIN, private=False)
    plain = {key: recipe.value for key, recipe in spec.keys.items() if isinstance(recipe, Plain)}
    return plain | dict(spec.derived)


def chart_values(slug: str) -> Any:
    return yaml.safe_load(secret(slug)[VALUES_KEY])


def test_only_the_group_of_administrators_administers_gitea() -> None:
    [source] = chart_values("gitea")["gitea"]["oauth"]
    assert source["adminGroup"] == "gitea-admins"


def test_only_the_group_of_administrators_administers_harbor_which_verifies_whom_it_asks() -> None:
    told = json.loads(secret("harbor")["CONFIG_OVERWRITE_JSON"])
    assert (told["oidc_admin_group"], told["oidc_verify_cert"]) == ("harbor-admins", True)


def test_nobody_has_a_role_in_grafana_but_by_a_group() -> None:
    login = chart_values("grafana")["grafana"]["grafana.ini"]["auth.generic_oauth"]
    assert login["role_attribute_path"] == (
        "contains(groups[*], 'grafana-admins') && 'Admin' || contains(groups[*], 'grafana-editors') && 'Editor' || "
        "contains(groups[*], 'grafana-users') && 'Viewer'"
    )
    assert (login["role_attribute_strict"], login["use_pkce"]) == (True, True)


def test_matrix_makes_an_account_of_whoever_authentik_lets_in_without_asking() -> None:
    told = chart_values("matrix")["matrixAuthenticationService"]["additional"]["sign-on"]["config"]
    [provider] = yaml.safe_load(told)["upstream_oauth2"]["providers"]
    assert provider["claims_imports"]["skip_confirmation"] is True
    assert provider["claims_imports"]["localpart"]["action"] == "require"


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["grafana-admins"], "Admin"),
        (["grafana-editors"], "Editor"),
        (["grafana-users"], "Viewer"),
        (["grafana-users", "grafana-admins"], "Admin"),
        (["grafana-users", "grafana-editors"], "Editor"),
        (["gitea-admins", "vault-admins"], False),
        (["grafana-admins-of-another"], False),
        ([], False),
    ],
)
def test_each_group_has_its_role_in_grafana_and_the_highest_counts(groups: list[str], role: str | bool) -> None:
    # Strict: a result that is no role keeps a person out.
    path = chart_values("grafana")["grafana"]["grafana.ini"]["auth.generic_oauth"]["role_attribute_path"]
    assert jmespath.search(path, {"groups": groups}) == role


def test_every_group_of_grafana_has_a_case_above() -> None:
    [service] = [service for service in sso.SERVICES if service.slug == "grafana"]
    assert service.groups == {"grafana-admins": "Admin", "grafana-editors": "Editor", "grafana-users": "Viewer"}


def test_only_members_of_its_group_may_use_matrix() -> None:
    """Its authentication service cannot ask for a group, so Authentik does, as for every service."""
    [binding] = [entry for entry in sso.MATRIX.entries(DOMAIN, "x", within=True) if "policybinding" in entry.model]
    assert binding.identifiers["group"] == group("matrix-users").reference(True)


def test_who_leaves_a_group_loses_its_rights_in_inventree() -> None:
    server = chart_values("inventree")["controllers"]["main"]["containers"]["server"]
    told = json.loads(server["env"]["INVENTREE_GLOBAL_SETTINGS"])
    assert told["LOGIN_ENABLE_SSO_GROUP_SYNC"] is True
    assert json.loads(told["SSO_GROUP_MAP"]) == {"inventree-admins": "admin", "inventree-users": "reader"}


def test_a_group_alone_gives_rights_in_vault() -> None:
    first = platform_configuration(["authentik"], "vault")
    document = sign_on(sso.VAULT, DOMAIN, f"auth.{DOMAIN}", first=first, discovery_ca=None).document()
    [role] = document["auth"][-1]["roles"]
    assert role["token_policies"] == ["default"]
    assert {group["name"]: group["policies"] for group in document["groups"]} == {
        "vault-admins": [PEOPLE_ADMIN],
        "vault-users": [PEOPLE_READER],
    }


def test_vault_takes_tokens_for_itself_with_a_group_of_exactly_its_name() -> None:
    first = platform_configuration(["authentik"], "vault")
    document = sign_on(sso.VAULT, DOMAIN, f"auth.{DOMAIN}", first=first, discovery_ca=None).document()
    [role] = document["auth"][-1]["roles"]
    assert (role["bound_audiences"], role["bound_claims_type"]) == (["vault"], "string")
    assert role["bound_claims"] == {GROUPS_CLAIM: ["vault-admins", "vault-users"]}
