"""Nodes leave the cluster before their VMs go, for good or to be made anew. The tests are steps, in order."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from components.talos.api import CREDENTIALS
from components.talos.node_removal_command import PLAN, Plan
from tests.lab.live import ROOT, VMS, LiveLab, one_more_worker

CONTROLPLANES = ("controlplane-0", "controlplane-1", "controlplane-2")


def five_control_planes(settings: dict[str, Any]) -> None:
    like = settings["nodes"]["controlplane-2"]
    for number in (3, 4):
        settings["nodes"][f"controlplane-{number}"] = like | {
            "address": f"{like['address'].rsplit('.', 1)[0]}.{10 + number}",
            "vmId": 1010 + number,
            "mac": f"BC:24:11:00:10:1{number}",
        }


def nodes(lab: LiveLab) -> list[str]:
    found = json.loads(lab.run("kubectl", "get", "nodes", "-o", "json").stdout)["items"]
    return sorted(node["metadata"]["name"] for node in found)


def etcd_members(lab: LiveLab) -> list[str]:
    """Host names of the members, as the first control plane sees them."""
    [first] = controlplanes(lab, CONTROLPLANES[:1]).values()
    listed = lab.run("talosctl", "-n", first, "etcd", "members").stdout.splitlines()[1:]
    return sorted(line.split()[2] for line in listed)


def controlplanes(lab: LiveLab, names: tuple[str, ...]) -> dict[str, str]:
    settings = yaml.safe_load(lab.session.config.read_text())["config"]["homelab:nodes"]
    return {name: settings[name]["address"] for name in names}


def removal(lab: LiveLab, node: str, among: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command that Pulumi runs, as it runs it; `among` has the control planes' addresses."""
    outputs = json.loads(lab.run("pulumi", "stack", "output", "--json", "--show-secrets").stdout)
    talosconfig = yaml.safe_load(outputs["talosconfig"])
    context = talosconfig["contexts"][talosconfig["context"]]
    plan = Plan(node=node, address=among[node], controlplanes=among)
    return subprocess.run(
        [sys.executable, "-m", "program", "node-removal"],
        cwd=ROOT,
        env={PLAN: plan.dumps(), CREDENTIALS: json.dumps([context["ca"], context["crt"], context["key"]])},
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def silent(lab: LiveLab, *vm_ids: int) -> Iterator[None]:
    """These machines answer nothing, though they are on."""
    for vm_id in vm_ids:
        lab.nodes("POST", "/faults", {"machine": vm_id, "fault": "silent"})
    try:
        yield
    finally:
        for vm_id in vm_ids:
            lab.nodes("POST", "/faults", {"machine": vm_id, "fault": "none"})


@pytest.fixture(scope="module")
def grown(lab: LiveLab) -> LiveLab:
    """The lab with two more control planes and one more worker, which its settings no longer have."""

    def grow(settings: dict[str, Any]) -> None:
        five_control_planes(settings)
        one_more_worker(6)(settings)

    with lab.changed(grow):
        result = lab.up()
        assert result.returncode == 0, result.stdout
        assert nodes(lab) == sorted([*VMS, "controlplane-3", "controlplane-4", "worker-6"])
    return lab


@pytest.fixture(scope="module")
def shrunk(grown: LiveLab) -> str:
    """What the `up` said that took them away again, of which one no longer answered."""
    grown.nodes("POST", "/faults", {"machine": 1014, "fault": "silent"})
    result = grown.up()
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_the_cluster_has_the_nodes_of_the_settings(lab: LiveLab, shrunk: str) -> None:
    assert nodes(lab) == sorted(VMS), shrunk


def test_etcd_has_the_control_planes_of_the_settings(lab: LiveLab, shrunk: str) -> None:
    assert etcd_members(lab) == list(CONTROLPLANES), shrunk


@pytest.mark.parametrize("node", ["controlplane-3", "worker-6"])
def test_a_node_shuts_down_before_its_vm_goes(shrunk: str, node: str) -> None:
    assert shrunk.index(f"{node} is shutting down") < shrunk.index(f"VmLegacy {node} deleting")


def test_a_node_that_is_dead_is_removed_by_the_others(shrunk: str) -> None:
    assert re.search(r"controlplane-4 does not answer on \S+, and was removed from the cluster", shrunk), shrunk


@pytest.mark.usefixtures("shrunk")
def test_the_next_up_changes_nothing(lab: LiveLab) -> None:
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def uids(lab: LiveLab) -> dict[str, str]:
    """What tells a Node from its successor of the same name."""
    found = json.loads(lab.run("kubectl", "get", "nodes", "-o", "json").stdout)["items"]
    return {node["metadata"]["name"]: node["metadata"]["uid"] for node in found}


@pytest.fixture(scope="module")
def rebuilt(lab: LiveLab) -> set[str]:
    """The nodes that were replaced when one VM was made anew."""
    before = uids(lab)
    result = lab.up("--replace", "**VmLegacy::controlplane-1")
    assert result.returncode == 0, result.stdout
    after = uids(lab)
    assert after.keys() == before.keys()
    return {name for name in after if after[name] != before[name]}


def test_only_a_node_whose_vm_is_made_anew_leaves_and_joins_again(rebuilt: set[str]) -> None:
    assert rebuilt == {"controlplane-1"}


@pytest.mark.usefixtures("rebuilt")
def test_a_control_plane_whose_vm_is_made_anew_is_a_member_again(lab: LiveLab) -> None:
    assert etcd_members(lab) == list(CONTROLPLANES)


@pytest.mark.usefixtures("rebuilt")
def test_the_storage_driver_may_attach_volumes_to_a_vm_that_was_made_anew(lab: LiveLab) -> None:
    vm_id = VMS["controlplane-1"]
    held = lab.driver_api().get(f"/access/permissions?path=/vms/{vm_id}")
    assert set(held[f"/vms/{vm_id}"]) >= {"VM.Audit", "VM.Config.Disk"}


@pytest.mark.usefixtures("rebuilt")
def test_a_vm_that_was_made_anew_stays_as_it_is(lab: LiveLab) -> None:
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_more_than_a_minority_of_control_planes_never_leaves(lab: LiveLab) -> None:
    addresses = controlplanes(lab, CONTROLPLANES)
    missing = {f"controlplane-{number}": f"{addresses['controlplane-0']}{number}" for number in (3, 4)}
    refused = removal(lab, "controlplane-2", addresses | missing)
    assert refused.returncode == 1
    assert (
        "controlplane-2 stays in etcd: of 5 control planes only controlplane-0, controlplane-1 would be left"
        in refused.stderr
    )
    assert etcd_members(lab) == list(CONTROLPLANES)


def test_a_control_plane_that_the_quorum_needs_stays(lab: LiveLab) -> None:
    with silent(lab, VMS["controlplane-1"]):
        refused = removal(lab, "controlplane-2", controlplanes(lab, CONTROLPLANES))
    assert refused.returncode == 1
    assert (
        "controlplane-2 stays in etcd: of the others (controlplane-0, controlplane-1) 2 must be healthy, and "
        "controlplane-0 is" in refused.stderr
    )
    assert etcd_members(lab) == list(CONTROLPLANES)


def test_the_only_control_plane_stays(lab: LiveLab) -> None:
    refused = removal(lab, "controlplane-0", controlplanes(lab, CONTROLPLANES[:1]))
    assert (refused.returncode, refused.stderr) == (
        1,
        "controlplane-0 is the only control plane, and the cluster ends with it; start a new one with `pulumi destroy` "
        "and `pulumi up`\n",
    )


def test_without_the_others_a_node_stays(lab: LiveLab) -> None:
    with silent(lab, VMS["controlplane-1"], VMS["controlplane-2"]):
        refused = removal(lab, "controlplane-0", controlplanes(lab, CONTROLPLANES))
    assert refused.returncode == 1
    assert "controlplane-0 cannot be removed from its cluster: controlplane-1: node" in refused.stderr
    healed = lab.up("--expect-no-changes")
    assert healed.returncode == 0, healed.stdout
