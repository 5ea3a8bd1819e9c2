"""Changes of machines and of the cluster's versions: one node at a time. The tests are steps, in order."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from components.talos.images import KUBELET, STATIC_PODS
from tests.lab.live import VMS, Change, LiveLab, one_more_worker

pytestmark = pytest.mark.long

CONTROL_PLANES = [name for name in VMS if name.startswith("controlplane-")]


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


def seconds(time: str) -> float:
    """A time of the journal, which has nanoseconds, in seconds."""
    return datetime.fromisoformat(time[:26].rstrip("Z")).timestamp()


def events_after(lab: LiveLab, seq: int) -> list[dict[str, Any]]:
    return list(lab.nodes("GET", f"/events?since={seq}"))


def last_event(lab: LiveLab) -> int:
    return int(lab.nodes("GET", "/events?since=0")[-1]["seq"])


def restarts(lab: LiveLab, change: Change) -> list[tuple[str, str, str]]:
    """The downtimes that an `up` with this change brings."""
    seq = last_event(lab)
    with lab.changed(change):
        result = lab.up()
        assert result.returncode == 0, result.stdout
    return downtimes(events_after(lab, seq))


def test_another_worker_changes_only_itself(lab: LiveLab) -> None:
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
        "vm-end-worker-9",
        "vm-rebuild-worker-9",
        "headscale-worker-9",
        "node-removal-worker-9",
    }
    # Its host is a new zone, and its kubelet's certificate is approved by its name.
    others = {urn.rpartition("::")[2] for urn in changed if "pulumi:pulumi:Stack" not in urn}
    assert others == {"volume-zones", "kubelet-certificates"}
    shrunk = lab.up()
    assert shrunk.returncode == 0, shrunk.stdout
    assert 2009 not in lab.vms()


def test_more_cores_restart_one_node_at_a_time(lab: LiveLab) -> None:
    def more_cores(settings: dict[str, Any]) -> None:
        for node in settings["nodes"].values():
            node["cores"] += 1

    spans = restarts(lab, more_cores)
    assert [name for name, _, _ in spans] == list(VMS)
    assert all(earlier[2] <= later[1] for earlier, later in pairwise(spans)), spans


def test_a_control_plane_waits_until_the_one_before_it_is_known_to_be_healthy(lab: LiveLab) -> None:
    """For five seconds after its start Talos does not know whether etcd is healthy."""

    def more_memory(settings: dict[str, Any]) -> None:
        for name in CONTROL_PLANES:
            settings["nodes"][name]["memory"] += 512

    spans = restarts(lab, more_memory)
    machines = {machine["name"]: machine for machine in lab.nodes("GET", "/machines")}
    started = {name: seconds(machines[name]["etcdStarted"]) for name in CONTROL_PLANES}
    # Workers restart too: they get the cores back that the test before gave them.
    control_planes = [span for span in spans if span[0] in CONTROL_PLANES]
    pauses = [seconds(later[1]) - started[earlier[0]] for earlier, later in pairwise(control_planes)]
    assert [name for name, _, _ in control_planes] == CONTROL_PLANES
    assert all(pause >= 5 for pause in pauses), pauses


def test_another_resolver_restarts_one_node_at_a_time(lab: LiveLab) -> None:
    def another_resolver(settings: dict[str, Any]) -> None:
        settings["network"]["resolvers"] = ["192.0.2.53"]

    spans = restarts(lab, another_resolver)
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


def test_another_kubernetes_goes_through_the_control_planes_before_the_kubelets(lab: LiveLab) -> None:
    def patch_release(settings: dict[str, Any]) -> None:
        settings["versions"]["kubernetes"] = "v1.36.4"

    seq = last_event(lab)
    with lab.changed(patch_release):
        result = lab.up()
        assert result.returncode == 0, result.stdout
    events = [event for event in events_after(lab, seq) if event["kind"] == "component-updated"]
    control_planes = [name for name in VMS if name.startswith("controlplane")]
    expected = [(part, name) for part in STATIC_PODS for name in control_planes] + [(KUBELET, name) for name in VMS]
    assert [(event["detail"]["component"], event["name"]) for event in events] == expected


def test_an_earlier_kubernetes_is_refused_by_name(lab: LiveLab) -> None:
    def earlier(settings: dict[str, Any]) -> None:
        settings["versions"]["kubernetes"] = "v1.35.2"

    with lab.changed(earlier):
        result = lab.up()
    assert result.returncode != 0
    assert "homelab:versions.kubernetes: v1.35.2 is older than the v1.36" in result.stdout


def test_the_settings_as_they_were_bring_everything_back(lab: LiveLab) -> None:
    back = lab.up()
    assert back.returncode == 0, back.stdout
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout
