"""The powerdns chart's settings on the real servers."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.kit.chart import values
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
