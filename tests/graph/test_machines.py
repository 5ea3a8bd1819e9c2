"""What a machine is made of, on the recorded graph of stack lab: what Talos boots on, and what its host does to it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from checks.graph import Graph
from components.talos.power import SHUTDOWN_SECONDS
from tests.graph.test_conventions import graph_of
from tests.graph.test_machine_configuration import CONTROL_PLANES, NODES, VM

GENERATED = "talos:machine/getConfiguration:getConfiguration"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("lab", known=True)


def machine(graph: Graph, node: str) -> dict[str, Any]:
    return dict(graph[f"{VM} {node}"].inputs)


def of_machine(graph: Graph, path: str) -> set[Any]:
    """The values at a path, as `cpu.type`, of all machines."""
    found = set()
    for node in NODES:
        value: Any = machine(graph, node)
        for part in path.split("."):
            value = value[int(part) if part.isdigit() else part]
        found.add(value)
    return found


TALOS_BOOTS_ON = {
    # Talos halts on less than x86-64-v2, which Proxmox's oldest types lack; `host` has whatever the host has:
    # https://github.com/siderolabs/talos/commit/78b9bd927
    "cpu.type": "host",
    "bios": "ovmf",
    "machine": "q35",
    "operatingSystem.type": "l26",
    # `iothread` of each disk works with this controller alone: https://pve.proxmox.com/wiki/Manual:_qm.conf
    "scsiHardware": "virtio-scsi-single",
    "networkDevices.0.model": "virtio",
    # Proxmox's firewall is not told of a pod, and would drop what Cilium sends between nodes.
    "networkDevices.0.firewall": False,
}


@pytest.mark.parametrize("path", TALOS_BOOTS_ON)
def test_a_machine_is_one_that_talos_boots_and_is_reached_on(graph: Graph, path: str) -> None:
    assert of_machine(graph, path) == {TALOS_BOOTS_ON[path]}


def test_a_machine_is_started_with_the_up_that_makes_it(graph: Graph) -> None:
    assert of_machine(graph, "started") == {True}


def test_a_host_gives_its_nodes_the_time_that_they_need_to_end(graph: Graph) -> None:
    assert of_machine(graph, "startup.downDelay") == {SHUTDOWN_SECONDS}


def test_nodes_of_a_host_start_one_after_another_as_it_boots(graph: Graph) -> None:
    orders = [machine(graph, node)["startup"]["order"] for node in NODES]
    assert orders == sorted(set(orders))
    assert min(of_machine(graph, "startup.upDelay")) > 0


def test_the_disk_that_a_machine_boots_from_is_the_one_with_the_image(graph: Graph) -> None:
    for node in NODES:
        made = machine(graph, node)
        filled = [disk["interface"] for disk in made["disks"] if disk.get("importFrom")]
        assert filled == made["bootOrders"], node


def test_a_node_is_of_the_kind_that_its_settings_say(graph: Graph) -> None:
    kinds = {}
    for asked in (one.args for one in graph.invokes if one.token == GENERATED):
        documents = [yaml.safe_load(text) for text in asked["configPatches"]]
        [named] = [one for one in documents if one.get("kind") == "HostnameConfig"]
        kinds[named["hostname"]] = asked["machineType"]
    # A worker that is made as a control plane joins etcd, where nobody counts on it.
    assert kinds == {node: "controlplane" if node in CONTROL_PLANES else "worker" for node in NODES}
