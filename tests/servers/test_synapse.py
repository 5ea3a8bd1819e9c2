"""A real Synapse on a real PostgreSQL, with what the tree says of them: locale, signing key, accounts, federation."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.accounts import Accounts, accounts
from tests.servers.homeserver import (
    KNOWN,
    RELEASE,
    Homeserver,
    command,
    homeserver,
    locale,
    ports,
    python,
    settings,
    write,
)
from tests.servers.postgres import postgres

pytestmark = pytest.mark.long

WHOAMI = "/_matrix/client/v3/account/whoami"
TYPES = {"array": list, "boolean": bool, "object": dict, "string": str}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    with (
        postgres("synapse", locale()) as database,
        accounts() as there,
        homeserver(tmp_path_factory.mktemp("synapse"), database, there) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def sources() -> str:
    """What of Synapse reads settings."""
    found = "lib/python*/site-packages/synapse/config/*.py"
    return "\n".join(file.read_text() for file in python().parent.parent.glob(found))


def younger(path: str) -> bool:
    return tuple(map(int, KNOWN[path].get("since", "v0").removeprefix("v").split("."))) > tuple(
        map(int, RELEASE.split("."))
    )


def test_each_setting_that_is_composed_is_known_with_its_type() -> None:
    assert {path: type(value) for path, value in settings().items()} == {
        path: TYPES[fact["type"]] for path, fact in KNOWN.items()
    }


def test_what_is_younger_than_the_release_of_the_tests_has_something_in_its_place() -> None:
    tops = {path for path in KNOWN if younger(path) and not (path.count(".") and younger(path.rpartition(".")[0]))}
    assert {path for path in tops if "here" not in KNOWN[path]} == set()


@pytest.mark.parametrize("path", KNOWN)
def test_the_release_of_the_tests_reads_a_setting_unless_it_is_younger(path: str, sources: str) -> None:
    name = path.rpartition(".")[2]
    # These words have other meanings as well.
    if path in ("matrix_authentication_service.enabled", "matrix_authentication_service.endpoint"):
        name = "matrix_authentication_service"
    assert (f'"{name}"' in sources) is not younger(path)


def test_synapse_starts_with_what_the_chart_composes_on_the_database_that_the_tree_makes(running: Homeserver) -> None:
    assert "v1.1" in running.ask("/_matrix/client/versions").content["versions"]


def test_synapse_signs_with_the_key_from_vault(running: Homeserver) -> None:
    found = running.ask("/_matrix/key/v2/server").content
    assert found["server_name"] == "example.org"
    assert found["verify_keys"].keys() == {"ed25519:a_vault"}


def test_nobody_signs_on_at_synapse_itself(running: Homeserver) -> None:
    """The ingress sends this path to the service with the accounts."""
    word = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "ann"}, "password": "x"}
    assert running.ask("/_matrix/client/v3/login", body=word).status == 404


def test_nobody_makes_an_account_at_synapse_itself(running: Homeserver) -> None:
    wanted = {"username": "mallory", "password": "x", "auth": {"type": "m.login.dummy"}}
    assert running.ask("/_matrix/client/v3/register", body=wanted).status == 403


def test_whoever_the_accounts_let_in_is_in_matrix_by_that_name(running: Homeserver) -> None:
    running.accounts.sessions["phone-of-ann"] = "ann"
    found = running.ask(WHOAMI, token="phone-of-ann")
    assert found.content.get("user_id") == "@ann:example.org", found


def test_whoever_they_do_not_know_is_not_in_matrix(running: Homeserver) -> None:
    assert running.ask(WHOAMI, token="of nobody").status == 401


def test_who_is_locked_is_out_on_every_device(running: Homeserver) -> None:
    """Step 4 of the drill in docs/identity.md: `lock-user`."""
    devices = ("phone-of-bob", "laptop-of-bob")
    running.accounts.sessions |= dict.fromkeys(devices, "bob")
    assert [running.ask(WHOAMI, token=device).status for device in devices] == [200, 200]
    running.accounts.locked.add("bob")
    assert [running.ask(WHOAMI, token=device).status for device in devices] == [401, 401]


def test_a_session_that_is_ended_opens_nothing(running: Homeserver) -> None:
    """Step 4 of the drill in docs/identity.md: `kill-sessions`."""
    running.accounts.sessions["phone-of-eve"] = "eve"
    assert running.ask(WHOAMI, token="phone-of-eve").status == 200
    del running.accounts.sessions["phone-of-eve"]
    assert running.ask(WHOAMI, token="phone-of-eve").status == 401


def test_matrix_asks_no_other_server(running: Homeserver) -> None:
    running.accounts.sessions["phone-of-ann"] = "ann"
    found = running.ask("/_matrix/client/v3/profile/@eve:matrix.org", token="phone-of-ann")
    assert (found.status, found.content["error"]) == (403, "Federation denied with matrix.org.")


def test_synapse_refuses_a_database_of_another_locale(tmp_path: Path) -> None:
    other = {**locale(), "lc-collate": "C.UTF-8", "lc-ctype": "C.UTF-8"}
    with postgres("synapse", other) as database:
        file = write(tmp_path, database, Accounts(), ports())
        done = subprocess.run(command(file), capture_output=True, text=True, timeout=180, check=False, cwd=tmp_path)
    assert done.returncode != 0
    assert "collation" in done.stdout + done.stderr
