"""A generated value on its whole way, by the real External Secrets and the real Vault: from generator to consumer.

The objects are those of the namespace powerdns of stack lab; `external_secrets.py` says what this release cannot do.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checks.graph import Graph
from checks.program import recorded
from components.dns.powerdns_secrets import ACCOUNTS, API_SECRET, DATABASE_SECRET, ROOT_PASSWORD
from tests.servers.certificates import write_pair
from tests.servers.external_secrets import STORE, Operated, external_secrets, for_this_release, reached_at
from tests.servers.kubernetes import KubernetesApi
from tests.servers.manifests import lab, manifests
from tests.servers.powerdns import mariadb_with, root_enters
from tests.servers.processes import eventually, free_ports

NAMESPACE = API_SECRET.namespace
DATABASE = DATABASE_SECRET.name


@functools.cache
def rotated(generation: int) -> Graph:
    """The program with another generation of the database's passwords."""

    def change(settings: dict[str, Any]) -> None:
        settings["rotation"] = {DATABASE: generation}

    return recorded(change=change)


@pytest.fixture(scope="module")
def operated(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    with external_secrets(kubernetes, tmp_path_factory.mktemp("external-secrets"), NAMESPACE) as running:
        running.up(lab())
        yield running


def secret(operated: Operated, name: str) -> dict[str, str]:
    """What a consumer reads."""
    found = operated.api.get("v1", "Secret", name, NAMESPACE)
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def test_every_generated_value_is_in_vault_below_its_namespace(operated: Operated) -> None:
    for spec in (API_SECRET, DATABASE_SECRET):
        assert sorted(operated.in_vault(spec.path(1))) == sorted(spec.generated)


def test_the_consumer_reads_the_value_that_vault_has(operated: Operated) -> None:
    stored, read = operated.in_vault(API_SECRET.path(1)), secret(operated, API_SECRET.name)
    assert {key: read[key] for key in stored} == stored


def test_values_of_one_recipe_differ(operated: Operated) -> None:
    values = list(operated.in_vault(DATABASE_SECRET.path(1)).values())
    assert len(set(values)) == len(values) > 1


def test_a_value_is_letters_and_digits_of_its_length(operated: Operated) -> None:
    for value in operated.in_vault(DATABASE_SECRET.path(1)).values():
        assert re.fullmatch(r"[A-Za-z0-9]{32}", value)


def test_derived_keys_are_filled_in(operated: Operated) -> None:
    read = secret(operated, DATABASE)
    assert read["password"] in read[ACCOUNTS]
    assert "{{" not in "".join(read.values())


def test_a_push_that_is_made_anew_changes_no_value(operated: Operated) -> None:
    before = operated.in_vault(API_SECRET.path(1))
    for item in manifests(lab(), "PushSecret"):
        if item["metadata"]["name"].startswith(API_SECRET.name):
            for each in for_this_release(item):
                path = f"/apis/{each['apiVersion']}/namespaces/{NAMESPACE}/pushsecrets/{each['metadata']['name']}"
                operated.api.request("DELETE", path)
    operated.up(lab())
    assert operated.in_vault(API_SECRET.path(1)) == before


def test_a_rotation_reaches_a_server_that_keeps_its_accounts_and_back(operated: Operated, tmp_path: Path) -> None:
    """MariaDB keeps passwords in its volume, and takes the Secret's at each start, as docs/rotation.md says."""
    [port] = free_ports(1)
    first = secret(operated, DATABASE)
    entered = started(tmp_path, port, first)
    operated.up(rotated(2))
    second = eventually(lambda: changed(operated, first), "the new generation")
    assert operated.in_vault(DATABASE_SECRET.path(1)) == {key: first[key] for key in DATABASE_SECRET.generated}
    assert operated.in_vault(DATABASE_SECRET.path(2)) == {key: second[key] for key in DATABASE_SECRET.generated}
    entered += started(tmp_path, port, second)
    operated.up(lab())
    assert eventually(lambda: changed(operated, second), "the generation before") == first
    assert entered == [first[ROOT_PASSWORD], second[ROOT_PASSWORD]]


def changed(operated: Operated, before: dict[str, str]) -> dict[str, str] | None:
    now = secret(operated, DATABASE)
    return None if now == before else now


def started(directory: Path, port: int, read: dict[str, str]) -> list[str]:
    """Which of root's passwords enter the database, once it was started with a Secret."""
    with mariadb_with(directory / "database", "127.0.0.1", port, read):
        return [read[ROOT_PASSWORD]] if root_enters(directory / "database", read[ROOT_PASSWORD]) else []


WRONG = {
    "version 1 of the KV engine": ({"version": "v1"}, "permission denied"),
    "another engine": ({"path": "secret"}, "permission denied"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_nothing_is_written_through_a_store_with(operated: Operated, wrong: str) -> None:
    changes, told = WRONG[wrong]
    condition = pushed(operated, wrong, changes)
    assert condition["status"] == "False"
    assert told in condition["message"]


@pytest.mark.parametrize(
    ("trusted", "told"),
    [({"key": "authority.pem"}, "could not get"), ({"key": "other.crt"}, "certificate")],
    ids=["no such key", "another authority's certificate"],
)
def test_nothing_is_written_with_another_ca(operated: Operated, trusted: dict[str, str], told: str) -> None:
    other = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault-tls", "namespace": "vault"}}
    content = {"ca.crt": operated.api.ca.read_text(), "other.crt": write_pair(operated.vault.directory, "other")}
    operated.api.apply(other | {"stringData": content})
    [store] = manifests(lab(), STORE)
    authority = store["spec"]["provider"]["vault"]["caProvider"] | trusted
    condition = pushed(operated, trusted["key"], {"caProvider": authority})
    assert condition["status"] == "False"
    assert told in condition["message"]


def pushed(operated: Operated, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a push through a store of its own, with these changes."""
    [store] = manifests(lab(), STORE)
    store = reached_at(store, operated.vault.url)
    label = re.sub(r"[^a-z0-9]", "-", name.lower())
    store["metadata"]["name"] = label
    store["spec"]["provider"]["vault"] |= changes
    operated.api.apply(*for_this_release(store))
    item = next(each for each in manifests(lab(), "PushSecret") if each["metadata"]["namespace"] == NAMESPACE)
    push = for_this_release(item)[0]
    push["metadata"]["name"] = label
    push["spec"]["secretStoreRefs"] = [{"kind": STORE, "name": label}]
    push["spec"]["data"][0]["match"]["remoteRef"]["remoteKey"] = f"{NAMESPACE}/{label}/v1"
    operated.api.apply(push)

    def told() -> dict[str, Any] | None:
        condition = operated.condition(push)
        return None if condition["status"] == "Unknown" else condition

    return eventually(told, "a condition")
