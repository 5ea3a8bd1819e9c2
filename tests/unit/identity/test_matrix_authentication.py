"""What the Matrix Authentication Service is configured with, against every field of its own schema.

Nothing of the service runs here: it is under the AGPL. authentication_service.yaml beside this file has what the chart
writes, and the facts. A field that is not among them is one that the service would ignore without a word.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import releases
from checks.gitops.values import secret_values
from checks.model.release_values import merged
from stacks import sso
from stacks.matrix_secrets import ENCRYPTION, SIGNING_KEY

DOMAIN = "example.org"
FACTS = yaml.safe_load(Path(__file__).with_name("authentication_service.yaml").read_text())
PLAIN = {"string": str, "boolean": bool, "integer": int}


@cache
def additions() -> dict[str, Any]:
    """What is given beside what the chart writes, section by section."""
    [release] = [release for release in releases() if release.name == "matrix"]
    values = merged(secret_values(release, sso.MATRIX.secret, DOMAIN, private=True), release.values)
    found: dict[str, Any] = {}
    for part in values["matrixAuthenticationService"]["additional"].values():
        for section, content in yaml.safe_load(part["config"]).items():
            assert section not in found, f"{section} is given twice"
            found[section] = content
    return found


def composed() -> dict[str, Any]:
    """The file as it is in the pod."""
    return merged(FACTS["first"], additions(), FACTS["last"])


def provider() -> dict[str, Any]:
    [one] = additions()["upstream_oauth2"]["providers"]
    return dict(one)


def faults(value: Any, kind: Any = "configuration", at: str = "") -> Iterator[str]:
    """What of a value the service would refuse or ignore, with its place."""
    if isinstance(kind, list):
        if kind[0] == "one of":
            if value not in kind[1:]:
                yield f"{at}: {value!r} is none of {', '.join(kind[1:])}"
        elif not isinstance(value, list):
            yield f"{at}: {value!r} is no list"
        else:
            for number, one in enumerate(value):
                yield from faults(one, kind[0], f"{at}[{number}]")
    elif kind in PLAIN:
        if type(value) is not PLAIN[kind]:
            yield f"{at}: {value!r} is no {kind}"
    elif kind != "any":
        yield from _section(value, FACTS["sections"][kind], at)


def _section(value: Any, facts: Mapping[str, Any], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at}: {value!r} is no section"
        return
    for name in sorted(set(facts.get("required", [])) - value.keys()):
        yield f"{at}.{name}: missing"
    for pair in facts.get("together", []):
        if set(pair) <= value.keys():
            yield f"{at}: {' and '.join(pair)} exclude each other"
    for name, content in value.items():
        if name in facts["fields"]:
            yield from faults(content, facts["fields"][name], f"{at}.{name}")
        else:
            yield f"{at}.{name}: no such field"


def test_every_field_is_one_of_the_schema_and_of_its_type() -> None:
    assert list(faults(composed())) == []


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each section that is composed, by the way to it; what policies are given is theirs."""
    if isinstance(value, dict) and at != ("policy", "data"):
        yield at
    if at != ("policy", "data"):
        below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, content in below:
            yield from places(content, (*at, key))


@pytest.mark.parametrize("place", places(composed()), ids=lambda place: ".".join(map(str, place)) or "top")
def test_a_field_that_the_schema_does_not_have_is_found_wherever_it_is(place: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(composed())
    section: Any = changed
    for key in place:
        section = section[key]
    section["misspelt"] = True
    [found] = faults(changed)
    assert found.endswith(".misspelt: no such field")


@pytest.mark.parametrize(
    ("text", "becomes", "fault"),
    [
        ("passwords:\n  enabled: false", "passwords:\n  enabled: 'no'", ".passwords.enabled: 'no' is no boolean"),
        ("client_secret_basic", "basic", "token_endpoint_auth_method: 'basic' is none of none, client_secret_basic"),
        ("action: require", "action: demand", "localpart.action: 'demand' is none of ignore"),
        ("client_id: matrix", "name: matrix", "providers[0].client_id: missing"),
        ("ssl_mode: verify-full", "ssl_ca: text", ".database: ssl_ca and ssl_ca_file exclude each other"),
        ("port: 8080", "port: '8080'", ".http.listeners[0].binds[0].port: '8080' is no integer"),
    ],
)
def test_a_field_that_is_wrong_is_found(text: str, becomes: str, fault: str) -> None:
    before = yaml.safe_dump(composed())
    assert text in before
    assert any(fault in found for found in faults(yaml.safe_load(before.replace(text, becomes, 1))))


def test_who_is_not_asked_is_known_by_claims_that_must_be_there() -> None:
    """`skip_confirmation` is refused otherwise (`validate` in crates/config/src/sections/upstream_oauth2.rs)."""
    told = provider()["claims_imports"]
    assert told["skip_confirmation"] is True
    assert told["localpart"]["action"] == "require"
    assert "suggest" not in {told[name]["action"] for name in ("displayname", "email")}


def test_the_providers_id_is_a_ulid() -> None:
    """26 characters of Crockford's Base32, of which the first holds three bits."""
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", provider()["id"])


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
