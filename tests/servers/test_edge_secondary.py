"""A real PowerDNS made the zone's secondary by the program that the component sends; its primary is the chart's.

The primary's NOTIFY leaves from 127.0.0.1, not from the address that the secondary knows it by: as if translated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from components.dns.tsig import TsigKey
from components.edge.secondary import EdgeSecondary, EdgeSecondaryArgs
from tests.servers import edge, powerdns
from tests.servers.powerdns import Server
from tests.servers.powerdns_api import Api
from tests.servers.powerdns_host import PowerDnsHost
from tests.servers.processes import free_port

PRIMARY, REPLICA, SECONDARY, STRANGER = "127.34.3.3", "127.34.3.4", "127.34.0.2", "127.34.0.3"
DOMAIN, SIGNED = "cluster.example.org", "signed.example.org"
API_KEY = "planted-api-key"
TSIG_SECRET = "cGxhbnRlZC10c2lnLWtleS0wMTIzNDU2Nzg5YWJjZGVm"
OTHER_SECRET = "b3RoZXItdHNpZy1rZXktMDEyMzQ1Njc4OWFiY2RlZmdo"
TRANSLATED = [IPv4Network("127.0.0.1/32")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge-secondary")


@pytest.fixture(scope="module")
def port() -> int:
    """The secondary's port; the primary is told of it before there is one."""
    return free_port(SECONDARY)


@pytest.fixture(scope="module")
def api_port() -> int:
    return free_port(PRIMARY)


@pytest.fixture(scope="module")
def primary(directory: Path, port: int, api_port: int) -> Iterator[Server]:
    database = free_port(PRIMARY)
    values: dict[str, Any] = {
        "existingSecret": {"name": "powerdns"},
        "transfer": {"allow": [SECONDARY], "notify": [f"{SECONDARY}:{port}"]},
        "soa": "ns1.example.org hostmaster.@ 0 60 60 1209600 60",
        "api": {"allowFrom": ["127.0.0.0/8"]},
    }
    with (
        powerdns.mariadb(directory / "mariadb", PRIMARY, database, "password"),
        powerdns.primary(
            directory / "primary",
            values,
            address=PRIMARY,
            api_port=api_port,
            database=database,
            secret=f"api-key={API_KEY}\ngmysql-password=password\n",
        ) as server,
    ):
        api = Api(api_port, API_KEY, PRIMARY)
        api("POST", "/tsigkeys", {"name": "edge", "algorithm": "hmac-sha256", "key": TSIG_SECRET})
        for zone, keys in ((DOMAIN, []), (SIGNED, ["edge."])):
            api("POST", "/zones", {"name": f"{zone}.", "kind": "Master", "nameservers": ["ns1.example.org."]})
            api("PUT", f"/zones/{zone}.", {"master_tsig_key_ids": keys})
        yield server


@pytest.fixture
def replica(directory: Path, tmp_path: Path, primary: Server) -> Iterator[Server]:
    """A second server of the chart, on the same database."""
    settings = (directory / "primary" / "pdns.conf").read_text()
    for own in (f"local-address={PRIMARY}", f"webserver-address={PRIMARY}"):
        assert own in settings
        settings = settings.replace(own, own.replace(PRIMARY, REPLICA))
    settings = settings.replace(f"socket-dir={directory / 'primary'}", f"socket-dir={tmp_path / 'replica'}")
    with powerdns.server(tmp_path / "replica", settings, address=REPLICA, port=primary.port) as server:
        yield server


@pytest.fixture(scope="module")
def api(primary: Server, api_port: int) -> Api:
    assert primary.port
    return Api(api_port, API_KEY, PRIMARY)


def set_address(api: Api, name: str, content: str, *, zone: str = DOMAIN) -> None:
    record = {"name": f"{name}.", "type": "A", "ttl": 60, "changetype": "REPLACE", "records": [{"content": content}]}
    api("PATCH", f"/zones/{zone}.", {"rrsets": [record]})


def text(host: PowerDnsHost, primary: Server, **changes: Any) -> str:
    """What the component sends for a host; `changes` are other arguments."""
    known: dict[str, Any] = {
        "host": edge.HOST,
        "zone": DOMAIN,
        "primaries": [IPv4Address(primary.address)],
        "primary_port": primary.port,
        "notified_by": TRANSLATED,
        "layout": host.layout,
    }
    args = EdgeSecondaryArgs(**known | changes)
    return edge.sent(lambda opts: EdgeSecondary("edge", args, opts), "edge-powerdns")


def host_at(here: Path, address: str, port: int, own: str = "") -> PowerDnsHost:
    return PowerDnsHost(here, address, port, own)


@pytest.fixture
def host(tmp_path: Path, port: int) -> Iterator[PowerDnsHost]:
    """A host at the address that the primary knows, before anything was done."""
    host = PowerDnsHost(tmp_path / "host", SECONDARY, port)
    with host.running():
        yield host


@pytest.fixture
def installed(host: PowerDnsHost, primary: Server) -> PowerDnsHost:
    """The host as the zone's secondary."""
    edge.succeed(text(host, primary))
    return host


def test_the_zone_is_transferred_and_answered(host: PowerDnsHost, primary: Server, api: Api) -> None:
    set_address(api, f"git.{DOMAIN}", "172.235.48.86")
    printed = edge.succeed(text(host, primary))
    assert f"secondary of {DOMAIN}., from {PRIMARY}:{primary.port}" in printed
    assert "has serial" in printed
    assert "172.235.48.86" in host.dns.dig(f"git.{DOMAIN}", "A")
    assert host.dns.dig(DOMAIN, "SOA", "+short") == primary.dig(DOMAIN, "SOA", "+short") != ""


def test_a_change_is_visible_within_five_seconds(installed: PowerDnsHost, api: Api) -> None:
    for content in ("10.0.3.7", "10.0.3.8"):
        set_address(api, f"moving.{DOMAIN}", content)
        installed.answers(f"moving.{DOMAIN}", "A", content, seconds=5)


def test_a_change_is_visible_at_once_though_another_server_than_the_changed_one_is_asked(
    host: PowerDnsHost, replica: Server, api: Api
) -> None:
    """Without a key, the other would tell the old serial from its cache, and the change wait for a refresh."""
    edge.succeed(signed(host, replica, TSIG_SECRET))
    for content in ("10.0.3.7", "10.0.3.8", "10.0.3.9"):
        set_address(api, f"moving.{SIGNED}", content, zone=SIGNED)
        host.answers(f"moving.{SIGNED}", "A", content, seconds=5)


def test_a_notify_from_elsewhere_than_the_trusted_networks_is_refused(
    host: PowerDnsHost, primary: Server, api: Api
) -> None:
    edge.succeed(text(host, primary, notified_by=[IPv4Network("100.64.0.0/10")]))
    set_address(api, f"unheard.{DOMAIN}", "10.0.3.9")
    powerdns.until(
        lambda: f"NOTIFY for {DOMAIN} from 127.0.0.1 which is not a master (Refused)" in host.dns.log.read_text(),
        "refused NOTIFY",
        host.dns.log,
        seconds=10,
    )
    assert "10.0.3.9" not in host.dns.dig(f"unheard.{DOMAIN}", "A")


def test_a_host_that_is_not_listed_gets_nothing_and_is_told_why(tmp_path: Path, primary: Server) -> None:
    host = PowerDnsHost(tmp_path / "host", STRANGER, free_port(STRANGER))
    with host.running():
        printed = edge.succeed(text(host, primary))
        assert f"has nothing of {DOMAIN}. yet" in printed
        assert "whether it may be transferred" in printed
        assert "ANSWER: 0" in host.dns.dig(DOMAIN, "SOA")


@pytest.fixture
def unlisted(tmp_path: Path) -> Iterator[PowerDnsHost]:
    """A host whose address opens nothing at the primary."""
    host = PowerDnsHost(tmp_path / "host", STRANGER, free_port(STRANGER))
    with host.running():
        yield host


def signed(host: PowerDnsHost, primary: Server, secret: str | None) -> str:
    return text(host, primary, zone=SIGNED, tsig=secret and TsigKey(name="edge", secret=secret))


def test_with_the_tsig_key_the_zone_comes(unlisted: PowerDnsHost, primary: Server) -> None:
    printed = edge.succeed(signed(unlisted, primary, TSIG_SECRET))
    assert "has serial" in printed
    assert "by TSIG" in printed
    assert unlisted.dns.dig(SIGNED, "SOA", "+short") == primary.dig(SIGNED, "SOA", "+short") != ""


@pytest.mark.parametrize("secret", [OTHER_SECRET, None], ids=["another-key", "no-key"])
def test_without_the_tsig_key_it_does_not(unlisted: PowerDnsHost, primary: Server, secret: str | None) -> None:
    assert "has nothing of" in edge.succeed(signed(unlisted, primary, secret))


def test_a_new_tsig_key_takes_the_place_of_the_old_one(unlisted: PowerDnsHost, primary: Server) -> None:
    edge.succeed(signed(unlisted, primary, OTHER_SECRET))
    assert "has serial" in edge.succeed(signed(unlisted, primary, TSIG_SECRET))


def test_a_tsig_key_is_nowhere_but_in_the_servers_database(unlisted: PowerDnsHost, primary: Server) -> None:
    printed = edge.succeed(signed(unlisted, primary, TSIG_SECRET))
    places = [printed, unlisted.dns.log.read_text(), Path(unlisted.layout.record).read_text()]
    assert [place for place in [*places, *unlisted.files().values()] if TSIG_SECRET in place] == []


def test_a_malformed_tsig_key_is_not_repeated(unlisted: PowerDnsHost, primary: Server) -> None:
    edge.succeed(signed(unlisted, primary, TSIG_SECRET))
    assert "not-base64" not in edge.refusal(signed(unlisted, primary, "not-base64!"))


def test_a_key_of_the_same_name_that_is_the_hosts_own_is_left_alone(unlisted: PowerDnsHost, primary: Server) -> None:
    unlisted.pdnsutil("import-tsig-key", "edge", "hmac-sha256", OTHER_SECRET)
    assert "has a TSIG key edge of its own" in edge.refusal(signed(unlisted, primary, TSIG_SECRET))
    assert OTHER_SECRET in unlisted.pdnsutil("list-tsig-keys")


def test_a_second_run_restarts_nothing(installed: PowerDnsHost, primary: Server) -> None:
    before = installed.process
    assert "no setting to change" in edge.succeed(text(installed, primary))
    assert installed.process == before


def test_a_zone_of_another_kind_is_not_overwritten(host: PowerDnsHost, primary: Server) -> None:
    host.pdnsutil("create-zone", DOMAIN, "ns1.example.org")
    said = edge.refusal(text(host, primary))
    assert f"this host serves {DOMAIN}. already, as Native" in said
    assert "NATIVE" in host.pdnsutil("show-zone", DOMAIN).upper()


def test_removal_puts_everything_back(host: PowerDnsHost, primary: Server) -> None:
    before = host.files()
    edge.succeed(text(host, primary))
    edge.succeed(text(host, primary), "remove")
    assert host.files() == before
    assert host.pdnsutil("list-all-zones").strip() == ""
    assert not Path(host.layout.record).exists()


def test_removal_takes_the_tsig_key_along(unlisted: PowerDnsHost, primary: Server) -> None:
    edge.succeed(signed(unlisted, primary, TSIG_SECRET))
    edge.succeed(signed(unlisted, primary, TSIG_SECRET), "remove")
    assert "edge" not in unlisted.pdnsutil("list-tsig-keys")


def test_a_secondary_that_was_there_before_gets_its_primary_back(host: PowerDnsHost, primary: Server) -> None:
    host.pdnsutil("create-secondary-zone", DOMAIN, "192.0.2.53")
    edge.succeed(text(host, primary))
    assert "192.0.2.53" not in host.pdnsutil("show-zone", DOMAIN)
    edge.succeed(text(host, primary), "remove")
    assert "192.0.2.53" in host.pdnsutil("show-zone", DOMAIN)


def test_another_zone_takes_the_place_of_the_first(host: PowerDnsHost, primary: Server) -> None:
    edge.succeed(text(host, primary))
    record = Path(host.layout.record)
    record.write_text(json.dumps(json.loads(record.read_text()) | {"owner": SIGNED}))
    edge.succeed(signed(host, primary, TSIG_SECRET))
    assert host.pdnsutil("list-all-zones").split() == [SIGNED]


def test_settings_that_powerdns_does_not_take_are_withdrawn(host: PowerDnsHost, primary: Server) -> None:
    before = host.files()
    said = edge.refusal(text(host, primary).replace("xfr-cycle-interval", "xfr-cycle-intervall"))
    assert "has the old ones again" in said
    assert host.files() == before
    assert "status: " in host.dns.dig("still-there.invalid", "SOA")


@pytest.fixture
def configured(tmp_path: Path, port: int) -> Iterator[PowerDnsHost]:
    """A host whose PowerDNS has an API, and trusts somebody, before anything was done."""
    [own_port] = [free_port("127.0.0.1")]
    own = (
        f"api=yes\napi-key=own-key\nwebserver=yes\nwebserver-port={own_port}\ntrusted-notification-proxy=192.0.2.0/24\n"
    )
    host = PowerDnsHost(tmp_path / "host", SECONDARY, port, own)
    with host.running():
        yield host


def test_an_api_of_the_host_is_used_and_stays_as_it_is(configured: PowerDnsHost, primary: Server) -> None:
    assert "has serial" in edge.succeed(text(configured, primary))
    assert not Path(configured.layout.api_file).exists()
    assert "api-key=own-key" in configured.main.read_text()


def test_whom_the_host_trusts_stays_trusted(configured: PowerDnsHost, primary: Server) -> None:
    edge.succeed(text(configured, primary))
    assert "192.0.2.0/24, 127.0.0.1/32" in configured.dns.control("current-config")


def test_a_hashed_key_is_explained(configured: PowerDnsHost, primary: Server) -> None:
    configured.main.write_text(configured.main.read_text().replace("own-key", "$scrypt$ln=10,p=1,r=8$abc$def"))
    assert "is stored as a hash" in edge.refusal(text(configured, primary))


def test_a_host_without_powerdns_is_told_what_to_install(host: PowerDnsHost, primary: Server) -> None:
    host.main.unlink()
    assert "apt-get install pdns-server" in edge.refusal(text(host, primary))


def test_a_host_that_includes_nothing_is_told_what_to_add(host: PowerDnsHost, primary: Server) -> None:
    host.main.write_text(host.main.read_text().replace("include-dir=", "# include-dir="))
    assert f"has no include-dir={host.here}/pdns.d" in edge.refusal(text(host, primary))


def test_the_api_that_is_made_is_open_on_loopback_alone(installed: PowerDnsHost) -> None:
    made = Path(installed.layout.api_file)
    assert "webserver-address=127.0.0.1" in made.read_text()
    assert oct(made.stat().st_mode)[-3:] == "640"
