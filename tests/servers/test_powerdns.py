"""The powerdns chart's settings on the real servers."""

from __future__ import annotations

import sqlite3
import subprocess
import urllib.error
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from components.kit.chart import values
from lab import debian
from tests.charts.helm import rendered
from tests.charts.kubelet import expanded
from tests.privileges import unshare
from tests.servers import powerdns
from tests.servers.powerdns import Server
from tests.servers.powerdns_api import Api
from tests.servers.processes import free_port

ADDRESS, SECONDARY, OTHER, STRANGER = "127.31.3.3", "127.31.3.4", "127.31.3.5", "127.31.9.9"
ZONE = "cluster.example.org."
KEY = "planted-api-key"
VALUES: dict[str, Any] = {
    "existingSecret": {"name": "powerdns"},
    "transfer": {"allow": [f"{ADDRESS}/32", SECONDARY], "notify": [f"{SECONDARY}:5300"]},
    "soa": "ns1.example.org hostmaster.@ 0 3600 900 1209600 60",
    "api": {"allowFrom": ["127.0.0.0/8"]},
    "settings": values("powerdns")["settings"],
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("powerdns")


@pytest.fixture(scope="module")
def api_port() -> int:
    return free_port(ADDRESS)


@pytest.fixture(scope="module")
def primary(directory: Path, api_port: int) -> Iterator[Server]:
    database = free_port(ADDRESS)
    secret = f"api-key={KEY}\ngmysql-password=first\n"
    with (
        powerdns.mariadb(directory / "mariadb", ADDRESS, database, "first"),
        powerdns.primary(
            directory / "primary", VALUES, address=ADDRESS, api_port=api_port, database=database, secret=secret
        ) as server,
    ):
        api = Api(api_port, KEY, ADDRESS)
        api("POST", "/zones", {"name": ZONE, "kind": "Master", "nameservers": ["ns1.example.org."]})
        yield server


@pytest.fixture(scope="module")
def api(primary: Server, api_port: int) -> Api:
    assert primary.port
    return Api(api_port, KEY, ADDRESS)


def container(values: dict[str, Any]) -> dict[str, Any]:
    """The server's container as the chart renders it."""
    [deployment] = [item for item in rendered("powerdns", values) if item["kind"] == "Deployment"]
    [found] = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def on_this_machine(command: list[str], server: Server) -> list[str]:
    """A command of the container as a kubelet hands it on, with the paths and addresses of `server`."""
    here = {
        "/usr/local/bin/pdns_control": str(debian.ensure(powerdns.PROGRAMS)["pdns_control"]),
        "/run/pdns": str(server.socket_directory),
        "127.0.0.1": server.address,
    }
    parts = expanded(command)
    for there, ours in here.items():
        parts = [part.replace(there, ours) for part in parts]
    return parts


def readiness(server: Server) -> subprocess.CompletedProcess[str]:
    """The chart's readiness probe, run once."""
    command = on_this_machine(container(VALUES)["readinessProbe"]["exec"]["command"], server)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_server_that_reaches_its_database_is_ready(primary: Server) -> None:
    assert readiness(primary).returncode == 0


def test_each_readiness_probe_asks_for_a_name_that_no_cache_holds() -> None:
    command = container(VALUES)["readinessProbe"]["exec"]["command"]
    shown = [*expanded(command)[:-1], expanded(command)[-1].replace("sdig", "echo").replace("| grep", "#")]
    asked = {subprocess.run(shown, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(asked) == 2


def test_a_server_that_lost_its_database_is_not_ready(directory: Path) -> None:
    database, api_port = free_port(OTHER), free_port(OTHER)
    secret = "api-key=x\ngmysql-password=first\n"
    with ExitStack() as until_lost:
        until_lost.enter_context(powerdns.mariadb(directory / "lost", OTHER, database, "first"))
        with powerdns.primary(
            directory / "left", VALUES, address=OTHER, api_port=api_port, database=database, secret=secret
        ) as server:
            assert readiness(server).returncode == 0
            until_lost.close()
            assert readiness(server).returncode != 0


def test_a_server_that_is_process_1_ends_when_its_pod_does(directory: Path) -> None:
    # As process 1 of its container it ignores TERM, and would be killed at the end of the grace period.
    place = directory / "alone"
    place.mkdir()
    port = free_port(OTHER)
    programs = debian.ensure(powerdns.PROGRAMS)
    schema = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
    with closing(sqlite3.connect(place / "zones")) as database:
        database.executescript(schema.read_text())
    backend = f"launch=gsqlite3\ngsqlite3-database={place}/zones\n"
    (place / "pdns.conf").write_text(f"{backend}local-address={OTHER}\nlocal-port={port}\nsocket-dir={place}\n")
    alone = [*unshare("--pid", "--fork", "--kill-child", "--mount-proc"), str(programs["pdns_server"])]
    log = place / "pdns.log"
    with powerdns.process([*alone, f"--config-dir={place}", "--disable-syslog"], log) as running:
        server = Server(OTHER, port, place, log)
        powerdns.until(lambda: "status: " in server.dig("ready.invalid", "SOA"), "PowerDNS", log)
        command = container(VALUES)["lifecycle"]["preStop"]["exec"]["command"]
        subprocess.run(on_this_machine(command, server), check=True, capture_output=True, timeout=20)
        assert running.wait(10) == 0


def test_a_zone_made_through_the_api_is_served(primary: Server) -> None:
    assert "ns1.example.org. hostmaster.cluster.example.org." in primary.dig(ZONE, "SOA")


@pytest.mark.parametrize("option", ["+notcp", "+tcp"])
def test_a_record_is_answered_over_both_transports(primary: Server, api: Api, option: str) -> None:
    records = [{"content": "10.0.3.2"}]
    added = {"name": f"git.{ZONE}", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": records}
    api("PATCH", f"/zones/{ZONE}", {"rrsets": [added]})
    assert "10.0.3.2" in primary.dig(f"git.{ZONE}", "A", option)


def test_the_zone_is_transferred_to_a_listed_address(primary: Server) -> None:
    assert "XFR size" in primary.dig(ZONE, "AXFR", source=SECONDARY)


def test_the_zone_is_not_transferred_to_a_stranger(primary: Server) -> None:
    answer = primary.dig(ZONE, "AXFR", source=STRANGER)
    assert "Transfer failed" in answer
    assert "XFR size" not in answer


@pytest.mark.parametrize("key", [None, "wrong"])
@pytest.mark.usefixtures("primary")
def test_the_api_is_closed_without_its_key(api_port: int, key: str | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        Api(api_port, key, ADDRESS)("GET", "/zones")
    assert refusal.value.code == 401


def test_no_secret_is_in_the_servers_log(primary: Server) -> None:
    assert KEY not in primary.log.read_text()


def test_a_rotated_database_password_is_valid_after_the_restart_that_brings_it(directory: Path) -> None:
    place, database, api_port = directory / "rotated", free_port(OTHER), free_port(OTHER)
    for password in ("one", "two"):
        with (
            powerdns.mariadb(place, OTHER, database, password),
            powerdns.primary(
                directory / f"server-{password}",
                VALUES,
                address=OTHER,
                api_port=api_port,
                database=database,
                secret=f"api-key={password}\ngmysql-password={password}\n",
            ),
        ):
            assert Api(api_port, password, OTHER)("GET", "/zones") == []
            entered = [powerdns.root_enters(place, f"{powerdns.ROOT_PASSWORD}{one}") for one in ("one", "two")]
            assert entered == [password == "one", password == "two"]
