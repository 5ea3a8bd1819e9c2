"""The whole program on a lab: a first `up`, changes, faults and the end. The tests are steps of one life, in order."""

from __future__ import annotations

import base64
import contextlib
import json
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.lab.live import Change, LiveLab

VMS = {"controlplane-0": 1001, "controlplane-1": 1002, "controlplane-2": 1003, "worker-0": 2001, "worker-1": 2002}


@pytest.fixture(scope="module")
def lab() -> Iterator[LiveLab]:
    """A lab that `make lab` brought up."""
    lab = LiveLab("pytest")
    lab.command("down")
    brought_up = lab.command("up")
    assert brought_up.returncode == 0, brought_up.stdout
    yield lab
    ended = lab.command("down")
    assert ended.returncode == 0, ended.stdout


def kubectl(lab: LiveLab, *arguments: str) -> Any:
    return json.loads(lab.run("kubectl", *arguments, "-o", "json").stdout)


def downtimes(events: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """When each node was not running: name, from, until; in order of their beginning."""
    away: dict[str, str] = {}
    found = []
    for event in events:
        if event["kind"] != "stage":
            continue
        name, time, running = event["name"], event["time"], event["detail"]["stage"] == "running"
        if running and name in away:
            found.append((name, away.pop(name), time))
        elif not running:
            away.setdefault(name, time)
    return sorted(found + [(name, start, "9") for name, start in away.items()], key=lambda span: span[1])


def one_more_worker(number: int) -> Change:
    """The change that adds worker-<number>, VM 200<number>, with worker-1's size on another host."""

    def add(settings: dict[str, Any]) -> None:
        worker = settings["nodes"]["worker-1"]
        address = f"{worker['address'].rsplit('.', 1)[0]}.{number}"
        identity = {"address": address, "vmId": 2000 + number, "mac": f"BC:24:11:00:20:0{number}", "host": "pve3"}
        settings["nodes"][f"worker-{number}"] = worker | identity

    return add


def events_after(lab: LiveLab, seq: int) -> list[dict[str, Any]]:
    return list(lab.nodes("GET", f"/events?since={seq}"))


def last_event(lab: LiveLab) -> int:
    return int(lab.nodes("GET", "/events?since=0")[-1]["seq"])


def test_five_nodes_are_ready_with_their_topology(lab: LiveLab) -> None:
    nodes = {node["metadata"]["name"]: node for node in kubectl(lab, "get", "nodes")["items"]}
    ready = {
        name: next(c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready")
        for name, node in nodes.items()
    }
    assert ready == dict.fromkeys(VMS, "True")
    assert nodes["worker-0"]["spec"]["providerID"] == "proxmox://lab/2001"
    assert nodes["worker-0"]["metadata"]["labels"]["topology.kubernetes.io/region"] == "lab"
    assert nodes["worker-0"]["metadata"]["labels"]["topology.kubernetes.io/zone"] == "pve1"


def test_cilium_runs_on_every_node(lab: LiveLab) -> None:
    daemon_set = kubectl(lab, "-n", "kube-system", "get", "daemonset", "cilium")
    assert daemon_set["status"]["numberReady"] == len(VMS)


def test_a_second_up_changes_nothing(lab: LiveLab) -> None:
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_a_refresh_finds_nothing_changed(lab: LiveLab) -> None:
    refreshed = lab.run("pulumi", "refresh", "--yes", "--skip-preview", "--non-interactive", "--expect-no-changes")
    assert refreshed.returncode == 0, refreshed.stdout


def test_no_secret_of_the_cluster_lies_open_in_the_state_or_in_the_lab(lab: LiveLab) -> None:
    outputs = json.loads(lab.run("pulumi", "stack", "output", "--json", "--show-secrets").stdout)
    kubeconfig = lab.session.kubeconfig.read_text()
    assert outputs["kubeconfig"] == kubeconfig
    keys = [line.split(":")[1].strip() for line in kubeconfig.splitlines() if "client-key-data" in line]
    keys += [
        line.split(":")[1].strip() for line in outputs["talosconfig"].splitlines() if line.strip().startswith("key:")
    ]
    password = lab.run("pulumi", "config", "get", "homelab:proxmoxPassword").stdout.strip()
    auth_key = lab.run("pulumi", "config", "get", "homelab:tailscaleAuthKey").stdout.strip()
    planted = [*keys, password, auth_key]
    assert len(planted) == 4
    assert all(len(value) > 8 for value in planted)
    searched = {"the state": lab.run("pulumi", "stack", "export").stdout}
    searched |= {str(path): path.read_text(errors="replace") for path in lab.session.logs.rglob("*") if path.is_file()}
    forms = [form for value in planted for form in (value, base64.b64encode(value.encode()).decode())]
    assert [where for where, text in searched.items() if any(form in text for form in forms)] == []


def test_nothing_in_the_lab_is_readable_by_others(lab: LiveLab) -> None:
    directory = lab.session.directory
    assert stat.S_IMODE(directory.stat().st_mode) & 0o077 == 0


def test_a_worker_more_changes_only_that_worker(lab: LiveLab) -> None:
    add = one_more_worker(9)

    before = lab.state()
    with lab.changed(add):
        grown = lab.up()
        assert grown.returncode == 0, grown.stdout
        after = lab.state()
        assert len(kubectl(lab, "get", "nodes")["items"]) == len(VMS) + 1
    changed = {urn for urn in before if before[urn].get("modified") != after[urn].get("modified")}
    assert {urn.rpartition("::")[2] for urn in after.keys() - before.keys()} == {
        "worker-9",
        "lab-worker-9",
        "csi-acl-vms-2009",
    }
    assert {urn.split("::")[2] for urn in changed} <= {"pulumi:pulumi:Stack"}
    shrunk = lab.up()
    assert shrunk.returncode == 0, shrunk.stdout
    assert 2009 not in lab.vms()


def test_more_cores_restart_one_node_at_a_time(lab: LiveLab) -> None:
    def more_cores(settings: dict[str, Any]) -> None:
        for node in settings["nodes"].values():
            node["cores"] += 1

    seq = last_event(lab)
    with lab.changed(more_cores):
        result = lab.up()
        assert result.returncode == 0, result.stdout
    spans = downtimes(events_after(lab, seq))
    assert [name for name, _, _ in spans] == list(VMS)
    assert all(earlier[2] <= later[1] for earlier, later in pairwise(spans)), spans


def test_a_kernel_argument_upgrades_one_node_at_a_time(lab: LiveLab) -> None:
    def argument(settings: dict[str, Any]) -> None:
        settings.setdefault("talos", {})["kernelArgs"] = ["mitigations=off"]

    seq = last_event(lab)
    with lab.changed(argument):
        result = lab.up()
        assert result.returncode == 0, result.stdout
        schematics = {machine["schematic"] for machine in lab.nodes("GET", "/machines")}
    spans = downtimes(events_after(lab, seq))
    assert len(schematics) == 1
    assert sorted({name for name, _, _ in spans}) == sorted(VMS)
    assert all(earlier[2] <= later[1] for earlier, later in pairwise(spans)), spans


def test_the_settings_as_they_were_bring_everything_back(lab: LiveLab) -> None:
    back = lab.up()
    assert back.returncode == 0, back.stdout
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_an_update_that_proxmox_refuses_is_made_up_for_by_the_next(lab: LiveLab) -> None:
    def more_cores(settings: dict[str, Any]) -> None:
        settings["nodes"]["worker-0"]["cores"] += 1

    before = int(lab.vms()[2001]["config"]["cores"])
    with lab.changed(more_cores):
        lab.proxmox("POST", "/faults", {"kind": "lock", "vmid": 2001, "message": "backup"})
        failed = lab.up()
        lab.proxmox("DELETE", "/faults")
        assert failed.returncode != 0, failed.stdout
        again = lab.up()
        assert again.returncode == 0, again.stdout
        assert int(lab.vms()[2001]["config"]["cores"]) == before + 1
    assert lab.up().returncode == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http", "method": "POST", "path": "/qemu$", "status": 500, "message": "planted", "times": 100},
        {"kind": "task", "method": "POST", "path": "/qemu$", "message": "planted", "times": 100},
    ],
    ids=["proxmox-answers-500", "a-task-fails"],
)
def test_a_vm_that_could_not_be_made_is_made_by_the_next_up(lab: LiveLab, fault: dict[str, Any]) -> None:
    add = one_more_worker(6)

    with lab.changed(add):
        lab.proxmox("POST", "/faults", fault)
        failed = lab.up()
        lab.proxmox("DELETE", "/faults")
        assert failed.returncode != 0, failed.stdout
        assert 2006 not in lab.vms()
        again = lab.up()
        assert again.returncode == 0, again.stdout
        assert lab.vms()[2006]["status"] == "running"
    assert lab.up().returncode == 0


def test_a_vm_id_of_somebody_else_is_refused_and_that_vm_is_not_touched(lab: LiveLab) -> None:
    foreign = {"vmid": 2008, "node": "pve3", "name": "mail", "tags": "precious", "diskGiB": 10, "status": "running"}
    lab.proxmox("POST", "/vms", foreign)
    before = lab.vms()[2008]

    take_its_id = one_more_worker(8)

    with lab.changed(take_its_id):
        refused = lab.up()
    assert refused.returncode != 0
    assert "VM 2008 ('mail' on host pve3, running) is not this stack's" in refused.stdout
    assert "Give worker-8 another vmId in homelab:nodes" in refused.stdout
    assert lab.vms()[2008] == before
    assert lab.up().returncode == 0


def test_a_login_that_proxmox_refuses_is_one_clear_message(lab: LiveLab) -> None:
    right = lab.run("pulumi", "config", "get", "homelab:proxmoxPassword").stdout.strip()
    before = lab.session.config.read_text()
    try:
        lab.run("pulumi", "config", "set", "--secret", "homelab:proxmoxPassword", "wrong-" + "password")
        refused = lab.up()
    finally:
        lab.session.config.write_text(before)
    assert refused.returncode != 0
    assert "refused the password of root@pam" in refused.stdout
    assert "pulumi config set --secret homelab:proxmoxPassword" in refused.stdout
    assert right not in refused.stdout
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


@pytest.mark.parametrize("fault", ["api-down", "api-hang"])
def test_destroy_ends_by_itself_when_the_kubernetes_api_is_dead(lab: LiveLab, fault: str) -> None:
    ensured = lab.up()
    assert ensured.returncode == 0, ensured.stdout
    lab.nodes("POST", "/faults", {"fault": fault})
    destroyed = lab.run("pulumi", "destroy", "--yes", "--skip-preview", "--non-interactive", timeout=120)
    assert destroyed.returncode == 0, destroyed.stdout
    assert set(lab.vms()) == {2008}
    state = lab.proxmox("GET", "/state")
    assert not state["acls"]
    assert [token for token in state["tokens"] if "csi" in str(token)] == []


def test_an_up_that_is_killed_at_five_points_converges(lab: LiveLab) -> None:
    for seconds in (3.0, 5.0, 8.0, 11.0, 14.0):
        lab.up_killed_after(seconds)
        lab.run("pulumi", "cancel", "--yes")
    result = lab.command("up")
    assert result.returncode == 0, result.stdout
    assert set(lab.vms()) == {*VMS.values(), 2008}
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_a_node_that_never_answers_is_named_with_a_remedy(lab: LiveLab) -> None:
    def add(settings: dict[str, Any]) -> None:
        one_more_worker(7)(settings)
        settings.setdefault("talos", {})["timeouts"] = {"node": 30, "api": 60}

    def silence() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(AssertionError):
                lab.nodes("POST", "/faults", {"machine": 2007, "fault": "silent"})
                return
            time.sleep(0.02)

    with lab.changed(add), ThreadPoolExecutor() as background:
        silenced = background.submit(silence)
        failed = lab.up()
        silenced.result()
    assert failed.returncode != 0
    assert "node worker-7" in failed.stdout
    assert "nothing answers on port 50000" in failed.stdout
    assert "look at the VM's console in Proxmox" in failed.stdout
    back = lab.up()
    assert back.returncode == 0, back.stdout
    lab.remove_foreign_vm(2008, "pve3")
