"""What the tree tells the Matrix Authentication Service, against the names and types of its own schema.

The facts are those of docs/config.schema.json in https://github.com/element-hq/matrix-authentication-service (its main
branch of 2026-08, beside release 1.23): a key that is not there is ignored or refused at the start, by its section.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from checks.gitops.tree import releases
from checks.gitops.values import secret_values
from checks.model.release_values import merged
from stacks import sso
from stacks.matrix_secrets import ENCRYPTION, SIGNING_KEY

DOMAIN = "example.org"

SECTIONS: dict[str, dict[str, type]] = {
    "passwords": {"enabled": bool, "schemes": list, "minimum_complexity": int},
    "account": {
        "email_change_allowed": bool,
        "displayname_change_allowed": bool,
        "password_registration_enabled": bool,
        "password_registration_email_required": bool,
        "password_change_allowed": bool,
        "password_recovery_enabled": bool,
        "account_deactivation_allowed": bool,
        "login_with_email_allowed": bool,
        "registration_token_required": bool,
    },
    "database": {"ssl_ca": str, "ssl_ca_file": str, "max_connections": int},
    "upstream_oauth2": {"providers": list},
}
"""By section, the fields that are used here or near to those, with their types."""

PROVIDER: dict[str, type] = {
    "id": str,
    "human_name": str,
    "issuer": str,
    "client_id": str,
    "client_secret_file": str,
    "token_endpoint_auth_method": str,
    "scope": str,
    "claims_imports": dict,
    "fetch_userinfo": bool,
    "on_backchannel_logout": str,
}
REQUIRED = {"id", "client_id", "token_endpoint_auth_method"}
METHODS = {"none", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"}
ACTIONS = {"ignore", "suggest", "force", "require"}


def composed() -> dict[str, Any]:
    """All that is given beside what the chart writes, section by section."""
    [release] = [release for release in releases() if release.name == "matrix"]
    values = merged(secret_values(release, sso.MATRIX.secret, DOMAIN, private=True), release.values)
    found: dict[str, Any] = {}
    for part in values["matrixAuthenticationService"]["additional"].values():
        for section, content in yaml.safe_load(part["config"]).items():
            assert section not in found, f"{section} is given twice"
            found[section] = content
    return found


def provider() -> dict[str, Any]:
    [one] = composed()["upstream_oauth2"]["providers"]
    return dict(one)


def test_each_section_and_field_is_one_of_the_schema() -> None:
    for section, content in composed().items():
        assert content.keys() <= SECTIONS[section].keys(), section
        for name, value in content.items():
            assert isinstance(value, SECTIONS[section][name]), f"{section}.{name}"


def test_the_provider_has_what_it_must_and_nothing_that_is_not_known() -> None:
    assert provider().keys() >= REQUIRED
    assert provider().keys() <= PROVIDER.keys()
    assert {name for name, value in provider().items() if not isinstance(value, PROVIDER[name])} == set()
    assert provider()["token_endpoint_auth_method"] in METHODS


def test_the_providers_id_is_a_ulid() -> None:
    """26 characters of Crockford's Base32, of which the first holds three bits."""
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", provider()["id"])


@pytest.mark.parametrize("name", ["localpart", "displayname", "email"])
def test_a_claim_is_imported_by_an_action_that_exists(name: str) -> None:
    one = provider()["claims_imports"][name]
    assert one.keys() <= {"action", "template", "on_conflict"}
    assert one["action"] in ACTIONS


def test_the_encryption_key_is_32_bytes_as_hexadecimal_digits() -> None:
    [recipe] = ENCRYPTION.generated.values()
    assert recipe.generator["encoding"] == "hex"
    assert recipe.generator["length"] == 32


def test_the_signing_key_has_the_form_that_synapse_reads() -> None:
    """`<algorithm> <version> <seed>`, as `read_signing_keys` of the package signedjson splits it; its seed of 32 bytes,
    in 44 characters of Base64, ends in one `=`."""
    algorithm, version, seed = SIGNING_KEY.derived["signing.key"].split(" ", 2)
    assert (algorithm, bool(re.fullmatch(r"[a-zA-Z0-9_]+", version))) == ("ed25519", True)
    assert seed == '{{ .seed | b64enc | trimSuffix "=" }}'
    assert SIGNING_KEY.generated["seed"].generator["length"] == 32
