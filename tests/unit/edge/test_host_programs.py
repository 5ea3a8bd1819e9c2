"""What the programs for the public host do there, with its files in a directory and its servers played."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.edge.on_host import headscale, nginx, powerdns
from components.edge.on_host.common import HostError, Record


class Zones:
    """PowerDNS's API: zones by path, and what was asked that changes something."""

    def __init__(self, zone: dict[str, Any] | None = None) -> None:
        self.zone = zone
        self.keys: list[dict[str, str]] = []
        self.writes: list[tuple[str, str, Any]] = []

    def __call__(self, method: str, path: str, body: Any = None, *, may: tuple[int, ...] = ()) -> Any:
        assert may or self.zone or method != "GET" or path == "/tsigkeys"
        if method != "GET":
            self.writes.append((method, path, body))
        if path == "/tsigkeys":
            if method == "POST":
                self.keys.append({**body, "id": f"{body['name']}."})
                return self.keys[-1]
            return self.keys
        if method == "POST":
            self.zone = {"serial": 7, "rrsets": ["SOA"], **body}
        return self.zone


ZONE = {"name": "cluster.example.org.", "primaries": ["10.0.3.3"], "tsig": None}


def record(tmp_path: Path, owner: str = "cluster.example.org") -> Record:
    return Record(str(tmp_path / "record.json"), owner)


def follow(api: Zones, tmp_path: Path, zone: dict[str, Any] = ZONE) -> None:
    powerdns.follow(api, record(tmp_path), zone)  # type: ignore[arg-type]


def test_a_host_follows_the_primary(tmp_path: Path) -> None:
    api = Zones()
    follow(api, tmp_path)
    [(method, path, made), *_] = api.writes
    assert (method, path, made["kind"], made["masters"]) == ("POST", "/zones", "Slave", ["10.0.3.3"])


@pytest.mark.parametrize("kind", ["Master", "Native", "Primary"])
def test_a_zone_that_the_host_serves_itself_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    api = Zones({"kind": kind, "masters": [], "slave_tsig_key_ids": []})
    with pytest.raises(HostError, match=f"serves cluster.example.org. already, as {kind}"):
        follow(api, tmp_path)
    assert api.writes == []


def test_a_host_that_is_to_follow_another_zone_lets_go_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would answer for the old name for ever, with what the zone held last."""
    api = Zones()
    monkeypatch.setattr(powerdns, "host_settings", lambda _: {})
    monkeypatch.setattr(powerdns, "run", lambda _: "")
    monkeypatch.setattr(powerdns, "Api", lambda *_: api)
    about = {"record": str(tmp_path / "record.json"), "owner": "cluster.example.org", "host": "192.0.2.9"}
    wanted = {**settings(tmp_path), **about}
    powerdns.install({**wanted, "zone": ZONE})
    api.writes.clear()
    powerdns.install({**wanted, "zone": {**ZONE, "name": "other.example.org."}})
    deleted = [path for method, path, _ in api.writes if method == "DELETE"]
    assert deleted == ["/zones/cluster.example.org."]


def test_one_host_serves_one_cluster(tmp_path: Path) -> None:
    record(tmp_path).save(owner="cluster.example.org")
    with pytest.raises(HostError, match=r"serves cluster\.example\.org already, and can serve one cluster"):
        record(tmp_path, "other.example.org")


def settings(tmp_path: Path) -> dict[str, Any]:
    """What a program for PowerDNS is told, with files below `tmp_path`."""
    return {
        "file": str(tmp_path / "zz.conf"),
        "apiFile": str(tmp_path / "zz-api.conf"),
        "apiPort": 18081,
        "group": "nobody",
        "restart": ["restart"],
        "settings": {"secondary": "yes", "trusted-notification-proxy": "100.64.0.0/10"},
    }


@pytest.fixture
def restarts(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that were run; `restart` fails while the settings say `broken`."""
    ran: list[list[str]] = []
    monkeypatch.setattr(powerdns, "run", ran.append)
    return ran


def test_the_key_of_the_api_is_read_by_the_name_server_and_by_nobody_else(
    tmp_path: Path, restarts: list[list[str]]
) -> None:
    wanted = settings(tmp_path)
    powerdns.apply(wanted, powerdns.texts(wanted, {}, "planted-key"))
    mode = stat.S_IMODE(Path(wanted["apiFile"]).stat().st_mode)
    assert "planted-key" in Path(wanted["apiFile"]).read_text()
    assert mode & stat.S_IRWXO == 0
    assert restarts == [["restart"]]


def test_an_api_that_was_not_there_is_opened_on_the_host_alone(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    opened = powerdns.parsed(str(powerdns.texts(wanted, {}, "k")[wanted["apiFile"]]), {})
    assert opened["webserver-address"] == "127.0.0.1"


def test_whom_the_host_trusts_for_other_zones_stays_trusted(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    own = {"trusted-notification-proxy": "192.0.2.7"}
    after = powerdns.parsed(str(powerdns.texts(wanted, own, "k")[wanted["file"]]), own)
    assert after["trusted-notification-proxy"].split(", ") == ["192.0.2.7", "100.64.0.0/10"]


def test_settings_that_stop_the_name_server_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = settings(tmp_path)
    file = Path(wanted["file"])
    file.write_text("secondary=yes\n")
    Path(wanted["apiFile"]).write_text("api=yes\n")

    def restart(_: list[str]) -> None:
        if "broken" in file.read_text():
            raise HostError("it does not start")

    monkeypatch.setattr(powerdns, "run", restart)
    with pytest.raises(HostError, match="has the old ones again: it does not start"):
        powerdns.apply(wanted, {wanted["file"]: "broken\n"})
    assert file.read_text() == "secondary=yes\n"


NODES = [
    {
        "id": 1,
        "name": "controlplane-0",
        "online": True,
        "tags": ["tag:cluster-router"],
        "approved_routes": ["10.9.0.0/24"],
    },
    {"id": 2, "name": "laptop", "online": True, "tags": ["tag:cluster-router"]},
    {"id": 3, "name": "controlplane-0", "online": True, "tags": ["tag:somebody"]},
]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What Headscale is told to change."""
    changes: list[list[str]] = []

    def run(command: list[str]) -> str:
        if "list" in command:
            return json.dumps(NODES)
        changes.append(command[1:])
        return "{}"

    monkeypatch.setattr(headscale, "run", run)
    return changes


WANTED = {
    "nodes": ["controlplane-0"],
    "tags": ["tag:cluster-router"],
    "headscale": ["headscale"],
    "routes": ["10.0.3.0/27"],
    "wait": 0,
}


def test_only_a_machine_with_the_clusters_name_and_tag_is_removed(told: list[list[str]]) -> None:
    headscale.remove(WANTED)
    assert [change[change.index("--identifier") + 1] for change in told] == ["1"]


def test_a_route_that_a_person_approved_stays_approved(told: list[list[str]]) -> None:
    headscale.approve(WANTED)
    [change] = told
    assert change[change.index("--routes") + 1] == "10.0.3.0/27,10.9.0.0/24"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """What a program for nginx is told; nginx refuses a file with `broken` in it."""
    (tmp_path / "nginx.conf").write_text("include sites/*;\n")
    sites = tmp_path / "sites"
    sites.mkdir()
    (sites / "ours.conf").write_text("old\n")

    def run(command: list[str]) -> str:
        if "-T" not in command:
            raise HostError("nginx did not reload")
        root = Path(command[-1]).parent
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        if any("broken" in path.read_text() for path in files):
            raise HostError("emergency")
        return "".join(f"# configuration file {path}:\n{path.read_text()}\n" for path in files)

    monkeypatch.setattr(nginx, "run", run)

    def wanted() -> dict[str, Any]:
        return {
            "record": str(tmp_path / "record.json"),
            "owner": "cluster.example.org",
            "host": "192.0.2.1",
            "files": {str(sites / "ours.conf"): ["new"]},
            "ports": [443],
            "main": str(tmp_path / "nginx.conf"),
            "pid": str(tmp_path / "pid"),
            "nginx": ["nginx"],
            "reload": ["reload"],
            "packages": "nginx",
        }

    return wanted


def test_a_configuration_that_nginx_refuses_never_reaches_its_place(served: Any, tmp_path: Path) -> None:
    wanted = served()
    wanted["files"] = {path: ["broken"] for path in wanted["files"]}
    with pytest.raises(HostError, match="nginx refuses the new configuration and keeps the one that it has"):
        nginx.install(wanted)
    assert (tmp_path / "sites" / "ours.conf").read_text() == "old\n"


def test_a_configuration_with_which_nginx_does_not_go_on_is_taken_back(served: Any, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="nginx did not reload"):
        nginx.install(served())
    assert (tmp_path / "sites" / "ours.conf").read_text() == "old\n"


def test_a_file_that_nginx_does_not_read_is_told_and_not_left_there(served: Any, tmp_path: Path) -> None:
    """Its directory is not included: nothing would route, and the `up` would be content."""
    wanted = served()
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere.conf"
    wanted["files"] = {str(elsewhere): ["new"]}
    with pytest.raises(HostError, match=rf"nginx does not read {elsewhere}: include its directory in"):
        nginx.install(wanted)
    assert not elsewhere.exists()


def test_a_port_at_which_another_site_listens_is_not_taken_from_it(served: Any, tmp_path: Path) -> None:
    (tmp_path / "sites" / "theirs.conf").write_text("server { listen 443 ssl; }\n")
    with pytest.raises(HostError, match=r"theirs\.conf: listens on port 443, where connections are routed by name"):
        nginx.install(served())
    assert (tmp_path / "sites" / "ours.conf").read_text() == "old\n"
