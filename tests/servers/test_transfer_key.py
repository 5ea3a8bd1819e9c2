"""The command of the Job that gives the primary its TSIG key, against a real PowerDNS that the chart configures."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from checks.graph import reveal
from checks.program import recorded
from components.dns.powerdns_secrets import API_KEY as API_KEY_NAME
from components.dns.transfer_key import TSIG_KEY_FILE
from components.dns.tsig import Algorithm, TsigKey
from components.edge.secondary import EdgeSecondary, EdgeSecondaryArgs
from lab import debian
from tests.servers import edge, powerdns
from tests.servers.powerdns import PROGRAMS, Server
from tests.servers.powerdns_api import Api
from tests.servers.powerdns_host import PowerDnsHost
from tests.servers.processes import eventually, free_port

PRIMARY, SECONDARY, LISTED = "127.37.3.3", "127.37.0.2", "127.37.0.9"
API_KEY = "planted-api-key"
FIRST, SECOND = "cGxhbnRlZC1maXJzdC10c2lnLWtleS0wMTIzNDU2Nzg5", "cGxhbnRlZC1zZWNvbmQtdHNpZy1rZXktMDEyMzQ1Njc4"


@dataclass(frozen=True)
class Database:
    """What the server keeps, beneath its API."""

    directory: Path

    def rows(self, query: str) -> list[str]:
        command = [str(debian.ensure(PROGRAMS)["mariadb"]), "--no-defaults", "--batch", "--skip-column-names"]
        command += [f"--socket={self.directory / 'socket'}", "--user=root", "powerdns", "-e", query]
        known = {**os.environ, "MYSQL_PWD": f"{powerdns.ROOT_PASSWORD}password"}
        return subprocess.run(command, env=known, capture_output=True, text=True, check=True).stdout.splitlines()


@dataclass(frozen=True)
class Primary:
    """The name server, its API and its database."""

    dns: Server
    api: Api
    database: Database


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Primary]:
    here = tmp_path_factory.mktemp("transfer-key")
    database, port = free_port(PRIMARY), free_port(PRIMARY)
    values: dict[str, Any] = {
        "existingSecret": {"name": "powerdns"},
        # Nobody who asks here: the key alone opens a zone.
        "transfer": {"allow": [LISTED], "notify": []},
        "api": {"allowFrom": ["127.0.0.0/8"]},
    }
    with (
        powerdns.mariadb(here / "mariadb", PRIMARY, database, "password"),
        powerdns.primary(
            here / "primary",
            values,
            address=PRIMARY,
            api_port=port,
            database=database,
            secret=f"api-key={API_KEY}\ngmysql-password=password\n",
        ) as server,
    ):
        yield Primary(server, Api(port, API_KEY, PRIMARY), Database(here / "mariadb"))


@pytest.fixture
def zone(primary: Primary) -> str:
    """A zone of the test's own, which nobody signs yet; the keys of earlier tests are gone."""
    for key in primary.api("GET", "/tsigkeys"):
        primary.api("DELETE", f"/tsigkeys/{key['id']}")
    name = f"zone-{len(primary.api('GET', '/zones'))}.example.org"
    make(primary, name)
    return name


def make(primary: Primary, zone: str) -> None:
    primary.api("POST", "/zones", {"name": f"{zone}.", "kind": "Master", "nameservers": ["ns1.example.org."]})


@cache
def of_the_job() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The Job's command, and by key of a Secret, the file in which it finds that key."""
    pod = recorded()["kubernetes:batch/v1:Job transfer-key"].inputs["spec"]["template"]["spec"]
    [volume] = pod["volumes"]
    items = [item for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
    return tuple(reveal(pod["containers"][0]["command"])), {item["key"]: item["path"] for item in items}


@dataclass(frozen=True)
class Job:
    """The Job for a zone, with the keys that it finds in `directory`."""

    directory: Path
    zone: str
    api: Api
    secret: str = FIRST
    name: str = "edge"
    algorithm: str = "hmac-sha256"
    api_key: str = API_KEY
    seconds: int = 0

    def start(self) -> subprocess.Popen[str]:
        command, files = of_the_job()
        _, *options, url, zone, name, algorithm, keys = command
        assert (url, zone) == ("http://powerdns-api.powerdns.svc:8081", "lab.home.arpa")
        assert (name, algorithm, keys) == ("edge", "hmac-sha256", "/keys")
        self.directory.mkdir(exist_ok=True)
        for key, content in {API_KEY_NAME: self.api_key, TSIG_KEY_FILE: self.secret}.items():
            (self.directory / files[key]).write_text(content)
        base = self.api.base.removesuffix("/api/v1/servers/localhost")
        return subprocess.Popen(
            [sys.executable, *options, base, self.zone, self.name, self.algorithm, str(self.directory)],
            env={"SECONDS": str(self.seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self) -> tuple[int, str]:
        """Its status and all that it said."""
        with self.start() as process:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said

    def succeed(self) -> str:
        status, said = self.run()
        assert status == 0, said
        return said


Make = Callable[..., Job]


@pytest.fixture
def job(tmp_path: Path, primary: Primary, zone: str) -> Make:
    """Makes Jobs for the test's zone."""

    def make_job(**changes: Any) -> Job:
        return Job(**{"directory": tmp_path / "keys", "zone": zone, "api": primary.api, **changes})

    return make_job


def opens(primary: Primary, zone: str, signature: str | None) -> bool:
    """Whether the zone is transferred; signature: algorithm:name:secret."""
    options = ["-y", signature] if signature else []
    answer = primary.dns.dig(zone, "AXFR", *options)
    transferred = "XFR size" in answer
    assert transferred != ("Transfer failed" in answer), answer
    return transferred


def test_the_zone_is_transferred_with_the_key_alone(primary: Primary, zone: str, job: Make) -> None:
    signatures = [f"hmac-sha256:edge:{FIRST}", f"hmac-sha256:edge:{SECOND}", None]
    assert [opens(primary, zone, one) for one in signatures] == [False, False, False]
    assert job().succeed() == f"{zone}: transfers are signed with edge (hmac-sha256)\n"
    assert [opens(primary, zone, one) for one in signatures] == [True, False, False]


def test_a_second_run_changes_nothing(primary: Primary, zone: str, job: Make) -> None:
    def written() -> list[str]:
        # Whatever is written again has another id. The serial that was notified it notes by itself.
        return primary.database.rows(
            "SELECT * FROM tsigkeys; SELECT * FROM domainmetadata;"
            " SELECT id, name, master, last_check, type, account, options, catalog FROM domains"
        )

    job().succeed()
    before = written()
    assert job().succeed() == f"{zone}: transfers are signed with edge (hmac-sha256), as before\n"
    assert written() == before


@pytest.mark.parametrize(
    "change",
    [{"secret": SECOND}, {"secret": SECOND, "algorithm": "hmac-sha512"}, {"secret": SECOND, "name": "other"}],
    ids=["secret", "algorithm", "name"],
)
def test_a_new_key_takes_the_place_of_the_old_one(
    primary: Primary, zone: str, job: Make, change: dict[str, str]
) -> None:
    job().succeed()
    new = job(**change)
    new.succeed()
    assert opens(primary, zone, f"{new.algorithm}:{new.name}:{SECOND}")
    assert not opens(primary, zone, f"hmac-sha256:edge:{FIRST}")
    assert primary.api("GET", f"/zones/{zone}.")["master_tsig_key_ids"] == [f"{new.name}."]


def test_a_key_that_is_there_twice_is_then_there_once(primary: Primary, job: Make) -> None:
    """PowerDNS takes a key's new algorithm for another key, so that two would be valid."""
    job().succeed()
    primary.api("PUT", "/tsigkeys/edge.", {"algorithm": "hmac-sha512", "key": SECOND})
    assert len(primary.api("GET", "/tsigkeys")) == 2
    job().succeed()
    assert primary.database.rows("SELECT algorithm, secret FROM tsigkeys") == [f"hmac-sha256\t{FIRST}"]


def test_a_key_that_was_set_by_hand_no_longer_opens_the_zone(primary: Primary, zone: str, job: Make) -> None:
    job().succeed()
    primary.api("POST", "/tsigkeys", {"name": "by-hand", "algorithm": "hmac-sha256", "key": SECOND})
    primary.api("PUT", f"/zones/{zone}.", {"master_tsig_key_ids": ["edge.", "by-hand."]})
    assert opens(primary, zone, f"hmac-sha256:by-hand:{SECOND}")
    job().succeed()
    assert not opens(primary, zone, f"hmac-sha256:by-hand:{SECOND}")


def test_what_else_the_zone_has_stays(primary: Primary, zone: str, job: Make) -> None:
    def everything() -> dict[str, Any]:
        found: dict[str, Any] = primary.api("GET", f"/zones/{zone}.")
        # The server notes by itself, at any moment, which serial it has notified.
        return {name: value for name, value in found.items() if name != "notified_serial"}

    before = everything()
    job().succeed()
    assert everything() == before | {"master_tsig_key_ids": ["edge."]}


@pytest.fixture
def follow(primary: Primary, zone: str, tmp_path: Path) -> Iterator[Callable[[TsigKey], str]]:
    """Makes a host the zone's secondary, with a key; what it printed."""
    host = PowerDnsHost(tmp_path / "host", SECONDARY, free_port(SECONDARY))

    def install(key: TsigKey) -> str:
        args = EdgeSecondaryArgs(
            host=edge.HOST,
            zone=zone,
            primaries=[IPv4Address(PRIMARY)],
            primary_port=primary.dns.port,
            notified_by=[IPv4Network("127.0.0.1/32")],
            tsig=key,
            layout=host.layout,
        )
        return edge.succeed(edge.sent(lambda opts: EdgeSecondary("edge", args, opts), "edge-powerdns"))

    with host.running():
        yield install


@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha512"])
def test_the_secondary_fetches_the_zone_with_the_key_that_took_the_place_of_another(
    job: Make, follow: Callable[[TsigKey], str], algorithm: Algorithm
) -> None:
    assert "has nothing of" in follow(TsigKey(name="edge", secret=FIRST))
    job(secret=SECOND, algorithm=algorithm).succeed()
    assert "has serial" in follow(TsigKey(name="edge", secret=SECOND, algorithm=algorithm))


def test_a_zone_that_comes_later_is_waited_for(primary: Primary, job: Make) -> None:
    late = "late.example.org"
    with job(zone=late, seconds=30).start() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"not yet: GET /zones/{late}.")
        make(primary, late)
        said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, f"{late}: transfers are signed with edge (hmac-sha256)\n")


def test_a_zone_that_does_not_come_is_named(job: Make) -> None:
    status, said = job(zone="absent.example.org").run()
    assert status == 1
    assert said.startswith("not yet: GET /zones/absent.example.org.?rrsets=false: 404 Not Found")
    assert said.endswith("\ngave up\n")


def test_an_api_that_does_not_answer_is_waited_for_and_named(job: Make) -> None:
    nobody = Api(free_port(SECONDARY), API_KEY, SECONDARY)
    status, said = job(api=nobody).run()
    assert status == 1
    assert said.startswith(f"not yet: {nobody.base} does not answer: ")
    assert "Connection refused" in said


WRONG = {
    "an API key of another server": ({"api_key": "planted-other-api-key"}, "401 Unauthorized; the API key is not"),
    "an API key that no header can hold": ({"api_key": "planted\nother"}, "api-key: not one line of ASCII"),
    "an empty API key": ({"api_key": ""}, "api-key: not one line of ASCII"),
    "a key that is not in Base64": ({"secret": "planted-no-base64!"}, "tsig-key: not in Base64"),
    "an empty key": ({"secret": ""}, "tsig-key: not one line of ASCII"),
    "an algorithm that PowerDNS does not know": ({"algorithm": "hmac-none"}, "POST /tsigkeys: 422"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_waiting_does_not_change_is_said_at_once_and_without_a_secret(job: Make, case: str) -> None:
    changes, reason = WRONG[case]
    status, said = job(seconds=50, **changes).run()
    assert status == 1
    assert said.startswith("refused: ")
    assert reason in said
    assert [secret for secret in ("planted", API_KEY, FIRST) if secret in said] == []


@pytest.mark.parametrize("case", ["an API key of another server", "a key that is not in Base64", "an empty key"])
def test_a_key_that_was_valid_stays_so_when_the_new_one_is_refused(
    primary: Primary, zone: str, job: Make, case: str
) -> None:
    job().succeed()
    assert job(**WRONG[case][0]).run()[0] == 1
    assert opens(primary, zone, f"hmac-sha256:edge:{FIRST}")


def test_the_keys_are_not_in_the_servers_log(primary: Primary, zone: str, job: Make) -> None:
    job().succeed()
    assert opens(primary, zone, f"hmac-sha256:edge:{FIRST}")
    log = primary.dns.log.read_text()
    assert [secret for secret in (FIRST, API_KEY) if secret in log] == []


def test_a_server_that_restarts_meanwhile_is_waited_for(primary: Primary, job: Make, tmp_path: Path) -> None:
    """The Job begins when the API is away, as it is while Reloader restarts the servers for another API key."""
    port = free_port(SECONDARY)
    away = Api(port, API_KEY, SECONDARY)
    settings = (primary.dns.socket_directory / "pdns.conf").read_text()
    for line, changed in {
        f"\nlocal-address={PRIMARY}": f"\nlocal-address={SECONDARY}",
        f"webserver-address={PRIMARY}": f"webserver-address={SECONDARY}",
        f"webserver-port={primary.api.base.split(':')[2].split('/')[0]}": f"webserver-port={port}",
        f"socket-dir={primary.dns.socket_directory}": f"socket-dir={tmp_path / 'replica'}",
    }.items():
        assert line in settings, line
        settings = settings.replace(line, changed)
    with job(api=away, seconds=30).start() as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("not yet: ")
        with powerdns.server(tmp_path / "replica", settings, address=SECONDARY, port=primary.dns.port):
            eventually(lambda: process.poll() is not None or None, "the end of the Job")
    assert process.returncode == 0
