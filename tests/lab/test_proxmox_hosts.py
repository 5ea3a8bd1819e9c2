"""What a simulated host has, and what it refuses for the lack of it, as Proxmox VE does."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.proxmox_site import Refused, Site

BRIDGES: list[Any] = [
    "vmbr0",
    {"name": "vmbr1", "ports": []},
    {"name": "vmbr2", "ports": [], "vlanAware": True},
    {"name": "vmbr3", "active": False},
    {"name": "vmbr4", "nodes": ["pve2"]},
]


@pytest.fixture
def bridged(tmp_path: Path) -> Iterator[Site]:
    """A site whose bridges differ."""
    running = Site(tmp_path, bridges=BRIDGES)
    yield running
    running.close()


def started(site: Site, **values: Any) -> tuple[str, list[str]]:
    """How the start of a new VM ends, and the lines of its log."""
    assert site.create(9001, **values) == "OK"
    upid = site.api("POST", "/nodes/pve1/qemu/9001/status/start", {})
    path = f"/nodes/pve1/tasks/{urllib.parse.quote(upid)}"
    deadline = time.monotonic() + 30
    while (status := site.api("GET", f"{path}/status"))["status"] == "running":
        assert time.monotonic() < deadline, "the task does not end"
        time.sleep(0.005)
    return status["exitstatus"], [line["t"] for line in site.api("GET", f"{path}/log")]


@pytest.mark.parametrize("bridge", ["vmbr9", "vmbr3", "vmbr4"], ids=["none", "inactive", "of another host"])
def test_a_vm_on_a_bridge_that_its_host_lacks_does_not_start(bridged: Site, bridge: str) -> None:
    ended, log = started(bridged, net0=f"virtio,bridge={bridge}")
    assert ended == "start failed: QEMU exited with code 1"
    assert f"bridge '{bridge}' does not exist" in log


def test_a_vlan_on_a_plain_bridge_without_a_network_card_does_not_start(bridged: Site) -> None:
    ended, log = started(bridged, net0="virtio,bridge=vmbr1,tag=30")
    assert ended == "start failed: QEMU exited with code 1"
    assert "no physical interface on bridge 'vmbr1'" in log


@pytest.mark.parametrize("bridge", ["vmbr0", "vmbr2"], ids=["with a card", "vlan-aware"])
def test_a_vlan_on_any_other_bridge_starts(bridged: Site, bridge: str) -> None:
    assert started(bridged, net0=f"virtio,bridge={bridge},tag=30")[0] == "OK"


def test_a_plain_bridge_without_a_network_card_starts_without_a_vlan(bridged: Site) -> None:
    assert started(bridged, net0="virtio,bridge=vmbr1")[0] == "OK"


def test_a_vm_with_more_cores_than_its_host_does_not_start(site: Site) -> None:
    assert started(site, cores=9)[0] == "MAX 8 vcpus allowed per VM on this node"


def test_a_vm_with_more_memory_than_its_host_does_not_start(site: Site) -> None:
    ended, log = started(site, memory=32769)
    assert ended == "start failed: QEMU exited with code 1"
    assert "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory" in log


def test_a_bridge_is_shown_to_and_used_by_those_who_may_use_it(bridged: Site) -> None:
    token = bridged.restricted(["SDN.Use"], on_user=True, on_token=True, path="/sdn/zones/localnetwork/vmbr2")
    shown = bridged.api("GET", "/nodes/pve1/network?type=any_bridge", token=token)
    assert [(bridge["iface"], bridge["bridge_vlan_aware"]) for bridge in shown] == [("vmbr2", 1)]


def test_a_vm_on_a_bridge_that_its_maker_may_not_use_is_refused(bridged: Site) -> None:
    token = bridged.restricted(["VM.Allocate", "VM.Config.Network"], on_user=True, on_token=True, path="/vms")
    values = {"vmid": 9001, "net0": "virtio,bridge=vmbr0,tag=30"}
    with pytest.raises(Refused, match=r"403 .*\(/sdn/zones/localnetwork/vmbr0/30, SDN\.Use\)"):
        bridged.api("POST", "/nodes/pve1/qemu", values, token=token)
    assert bridged.control("GET", "/state")["vms"] == []


def test_each_host_has_a_release_and_a_clock_of_its_own(tmp_path: Path) -> None:
    one = {"cores": 8, "memoryMiB": 32768}
    site = Site(tmp_path, nodes={"pve1": one | {"version": "8.3.5"}, "pve2": one | {"clockAhead": 600}})
    try:
        assert [site.api("GET", f"/nodes/{node}/version")["release"] for node in ("pve1", "pve2")] == ["8.3", "9.0"]
        ahead = site.api("GET", "/nodes/pve2/time")["time"] - site.api("GET", "/nodes/pve1/time")["time"]
        assert 599 <= ahead <= 601  # Whole seconds, asked for one after the other.
    finally:
        site.close()
