"""What a host must have: each finding, from answers as Proxmox gives them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from components.proxmox.site import hosts, survey
from components.proxmox.site.plan import PlannedHost, PlannedSite
from tests.unit.proxmox.recorded_site import PLAN, RecordedApi, planned


def found(api: RecordedApi, plan: PlannedSite = PLAN) -> list[str]:
    return list(hosts.findings(plan, api.taken(plan)))


def test_a_healthy_site_has_no_findings() -> None:
    assert found(RecordedApi()) == []


def test_a_host_that_the_site_lacks_is_named_with_those_it_has() -> None:
    plan = planned(hosts={"pve7": PlannedHost()})
    assert found(RecordedApi(), plan) == [
        "homelab:site.hosts.pve7: the site has no host pve7; it has pve1, pve2; correct the name"
    ]


@pytest.mark.parametrize("status", ["offline", "unknown"])
def test_a_host_that_is_not_online_is_named_and_not_asked(status: str) -> None:
    api = RecordedApi()
    api.answers["/nodes"][1]["status"] = status
    assert found(api) == [f"homelab:site.hosts.pve2: the host is {status}; start it, or move its nodes to another host"]
    assert not [path for path in api.asked if path.startswith("/nodes/pve2")]


def test_a_cluster_without_quorum_is_named_with_the_hosts_that_are_off() -> None:
    api = RecordedApi()
    api.answers["/cluster/status"][0]["quorate"] = 0
    api.answers["/cluster/status"][2]["online"] = 0
    assert found(api) == [
        "homelab:site.endpoint: the Proxmox cluster home has no quorum, so it refuses every change; start the hosts "
        "that are off (pve2)"
    ]


@pytest.mark.parametrize(
    ("version", "refused"), [("8.3.5", True), ("7.4-3", True), ("8.4.0", False), ("8.10.1", False), ("9.0.3", False)]
)
def test_a_release_that_cannot_import_a_disk_image_is_refused(version: str, refused: bool) -> None:
    api = RecordedApi()
    api.answers["/nodes/pve2/version"]["version"] = version
    told = f"homelab:site.hosts.pve2: it runs Proxmox VE {version}, which takes no disk images as `import`; upgrade it"
    assert found(api) == ([f"{told} to 8.4 or newer"] if refused else [])


def test_cores_and_memory_that_a_host_does_not_have_are_named_with_what_it_has() -> None:
    plan = planned(hosts={"pve1": PlannedHost(cores=9, memory=32769)})
    assert found(RecordedApi(), plan) == [
        "homelab:site.hosts.pve1.cores: 9 are more than the 8 threads that the host has; give 8 or fewer",
        "homelab:site.hosts.pve1.memory: 32769 MiB are more than the 32768 MiB that the host has; give less, and leave "
        "some to the host itself",
    ]


def test_a_datastore_that_the_host_lacks_is_named_with_those_it_has() -> None:
    plan = planned(hosts={"pve1": PlannedHost({"tank": ["images"]})})
    assert found(RecordedApi(), plan) == [
        "homelab:site.hosts.pve1: datastore tank does not exist; the host has local, local-zfs, volumes; correct "
        "homelab:site.hosts.pve1 or homelab:storage.datastore, or create it"
    ]


def test_a_datastore_of_other_hosts_is_none() -> None:
    api = RecordedApi()
    api.answers["/nodes/pve1/storage"][2] |= {"enabled": 0, "active": 0}
    [finding] = found(api)
    assert finding.startswith(
        "homelab:site.hosts.pve1: datastore volumes is disabled, or not for this host; the host has local, local-zfs;"
    )


def test_a_datastore_that_is_not_active_is_named() -> None:
    api = RecordedApi()
    api.answers["/nodes/pve1/storage"][1]["active"] = 0
    assert found(api) == [
        "homelab:site.hosts.pve1: datastore local-zfs is not active; bring it back: pvesm status --storage local-zfs "
        "(on pve1) says why it is not"
    ]


def test_a_datastore_must_take_every_content_type_that_is_wanted_of_it() -> None:
    plan = planned(hosts={"pve1": PlannedHost({"local-zfs": ["import", "images", "rootdir"]})})
    assert found(RecordedApi(), plan) == [
        "homelab:site.hosts.pve1: datastore local-zfs does not take content type import and rootdir; allow it: "
        "pvesm set local-zfs --content images,import,rootdir"
    ]


@pytest.mark.parametrize(
    ("shared", "declared", "told"),
    [
        (1, frozenset(), "is shared in Proxmox"),
        (0, frozenset({"local"}), "is not shared in Proxmox"),
        (1, frozenset({"local"}), None),
    ],
)
def test_a_datastore_for_images_is_shared_exactly_where_the_settings_say_so(
    shared: int, declared: frozenset[str], told: str | None
) -> None:
    api = RecordedApi()
    api.answers["/nodes/pve1/storage"][0]["shared"] = shared
    findings = found(api, planned(hosts={"pve1": PLAN.hosts["pve1"]}, shared=declared))
    assert [told in finding for finding in findings if told] == ([True] if told else [])
    assert len(findings) == (1 if told else 0)


def bridged(plan: PlannedSite, **bridge: Any) -> list[str]:
    api = RecordedApi()
    api.answers["/nodes/pve1/network?type=any_bridge"][0] |= bridge
    return found(api, plan)


def test_a_bridge_that_a_host_lacks_is_named_with_those_it_has() -> None:
    assert bridged(PLAN, iface="vmbr7") == [
        "homelab:site.bridge: host pve1 has no bridge vmbr0; it has vmbr7; correct it, or create it on that host"
    ]


def test_a_bridge_that_the_login_may_not_use_is_not_called_missing() -> None:
    api = RecordedApi(lacks=[("/sdn/zones/localnetwork/vmbr0", "SDN.Use")])
    for host in ("pve1", "pve2"):
        api.answers[f"/nodes/{host}/network?type=any_bridge"] = []
    assert found(api) == []


def test_a_bridge_that_waits_for_its_activation_is_named() -> None:
    assert bridged(PLAN, active=0) == [
        "homelab:site.bridge: vmbr0 is configured on host pve1 and not active; activate it there: ifreload -a"
    ]


@pytest.mark.parametrize("ports", ["", "none"])
def test_a_vlan_is_refused_on_a_bridge_that_cannot_carry_it(ports: str) -> None:
    [finding] = bridged(planned(vlan=30), bridge_ports=ports)
    assert finding == (
        "homelab:site.vlan: 30 needs a bridge that is VLAN-aware or has a network card, and vmbr0 on host pve1 is "
        "neither; set bridge-vlan-aware yes for it in /etc/network/interfaces, then ifreload -a"
    )


@pytest.mark.parametrize(
    "bridge",
    [
        {"bridge_ports": "eno1"},
        {"bridge_ports": "none", "bridge_vlan_aware": 1},
        {"type": "OVSBridge", "bridge_ports": None},
        {"type": "vnet", "bridge_ports": None, "active": None},
    ],
    ids=["card", "aware", "open vswitch", "sdn"],
)
def test_a_vlan_is_accepted_on_every_bridge_that_can_carry_it(bridge: dict[str, Any]) -> None:
    assert bridged(planned(vlan=30), **bridge) == []


def test_a_clock_that_differs_from_this_machines_is_named() -> None:
    api = RecordedApi(ahead={"pve1": 10, "pve2": -400})
    [finding] = found(api)
    assert finding.startswith("homelab:site.hosts.pve2: its clock is 400 s")
    assert "s behind this machine's, and certificates and logins tolerate 300 s; set the wrong one" in finding


def test_clocks_that_differ_from_each_other_are_named() -> None:
    api = RecordedApi(ahead={"pve1": 200, "pve2": -200})
    [finding] = found(api)
    assert finding.startswith("homelab:site.hosts.pve1: its clock and that of pve2 are 400 s apart")


def test_a_clock_within_the_limit_is_accepted() -> None:
    assert found(RecordedApi(ahead={"pve1": 100, "pve2": -100})) == []


def test_an_answer_that_is_long_under_way_is_no_clock_that_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 40 s half counts as the way there: the host's time is that of the middle."""
    moments = iter((1000.0, 1040.0))
    monkeypatch.setattr(survey, "time", SimpleNamespace(time=lambda: next(moments)))
    api: Any = SimpleNamespace(get=lambda _: {"time": 1020})
    assert asyncio.run(survey._ask(api, ["/nodes/pve1/time"])).clocks == {"/nodes/pve1/time": 0.0}
