"""What keeps a node in its cluster, and an `up` that is killed while one leaves. The tests are steps of one life."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.live import LiveLab, one_more_worker

pytestmark = pytest.mark.long

NAMESPACE, NODE, VM = "held", "worker-6", 2006
LABELS = {"app": "held"}
UP_SECONDS = 300


def brief_drains(settings: dict[str, Any]) -> None:
    settings.setdefault("talos", {}).setdefault("timeouts", {})["drain"] = 10


def with_the_node(settings: dict[str, Any]) -> None:
    """The only worker on pve3; small enough for another host as well."""
    brief_drains(settings)
    one_more_worker(6)(settings)
    settings["nodes"][NODE]["memory"] = 8192


def with_the_node_moved(settings: dict[str, Any]) -> None:
    with_the_node(settings)
    settings["nodes"][NODE]["host"] = "pve1"


def applied(lab: LiveLab, *objects: dict[str, Any]) -> None:
    path = lab.session.directory / "held.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    try:
        done = lab.run("kubectl", "apply", "-f", str(path))
    finally:
        path.unlink()
    assert done.returncode == 0, done.stdout


def kubectl(lab: LiveLab, *arguments: str) -> Any:
    return json.loads(lab.run("kubectl", *arguments, "-o", "json").stdout)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 270
    while not holds():
        assert time.monotonic() < deadline, f"not in 270 seconds: {what}"
        time.sleep(0.3)


def deployment(*volumes: str) -> dict[str, Any]:
    """One pod that can only run on the node, with the volumes of these claims."""
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "containers": [{"name": "web", "image": "web"}],
        "volumes": [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in volumes],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": LABELS},
            "strategy": {"type": "Recreate"},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }


def runs(lab: LiveLab) -> bool:
    """Whether the pod is ready, and its budget knows of it."""
    status = kubectl(lab, "-n", NAMESPACE, "get", "deployment/web")["status"]
    budget = kubectl(lab, "-n", NAMESPACE, "get", "poddisruptionbudget/web").get("status", {})
    return bool(status.get("readyReplicas") == budget.get("currentHealthy") == budget.get("expectedPods") == 1)


def unschedulable(lab: LiveLab) -> bool:
    return bool(kubectl(lab, "get", f"node/{NODE}")["spec"].get("unschedulable", False))


@pytest.fixture(scope="module")
def held(lab: LiveLab) -> LiveLab:
    """The lab with one more worker; its pod has a volume there, and a budget that never lets it go."""
    with lab.changed(with_the_node):
        grown = lab.up()
    assert grown.returncode == 0, grown.stdout
    of = {"namespace": NAMESPACE}
    applied(
        lab,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": of | {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": of | {"name": "web"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": LABELS}},
        },
        deployment("data"),
    )
    until(lambda: runs(lab), "the pod runs")
    return lab


def refused(lab: LiveLab, change: Callable[[dict[str, Any]], None]) -> str:
    """What an `up` says that must not succeed, nor take the node away."""
    with lab.changed(change):
        result = lab.up()
    assert result.returncode != 0, result.stdout
    vm = lab.vms()[VM]
    assert (vm["status"], vm["node"]) == ("running", "pve3"), result.stdout
    return result.stdout


@pytest.mark.parametrize("change", [with_the_node_moved, brief_drains], ids=["moved", "removed"])
def test_the_last_node_of_a_zone_stays_while_a_volume_lives_there(
    held: LiveLab, change: Callable[[dict[str, Any]], None]
) -> None:
    volume = kubectl(held, "-n", NAMESPACE, "get", "persistentvolumeclaim/data")["spec"]["volumeName"]
    told = refused(held, change)
    assert "no node that takes pods would be left on pve3, and these volumes live only there" in told
    assert f"{volume} of {NAMESPACE}/data" in told


def test_a_node_with_a_pod_that_its_budget_keeps_stays_and_takes_pods_again(held: LiveLab) -> None:
    held.run("kubectl", "-n", NAMESPACE, "delete", "deployment/web", "--cascade=foreground")
    volume = kubectl(held, "-n", NAMESPACE, "get", "persistentvolumeclaim/data")["spec"]["volumeName"]
    held.run("kubectl", "-n", NAMESPACE, "delete", "persistentvolumeclaim/data")
    held.run("kubectl", "delete", f"persistentvolume/{volume}")
    applied(held, deployment())
    until(lambda: runs(held), "the pod runs without a volume")
    told = refused(held, brief_drains)
    assert f"{NODE} stays in the cluster and takes pods again: after 10 s it still has {NAMESPACE}/web-" in told
    assert f"disruption budget {NAMESPACE}/web lets no pod go, as it wants 1 of 1" in told
    assert not unschedulable(held)


def test_an_up_that_is_killed_while_a_node_leaves_is_finished_by_the_next(held: LiveLab) -> None:
    def halted() -> bool:
        machines = {machine["name"]: machine for machine in held.nodes("GET", "/machines")}
        return bool(machines[NODE]["stage"] == "halted")

    held.run("kubectl", "-n", NAMESPACE, "delete", "poddisruptionbudget/web")
    held.up_killed_once(lambda: unschedulable(held), UP_SECONDS)
    held.run("pulumi", "cancel", "--yes")
    held.up_killed_once(halted, UP_SECONDS)
    held.run("pulumi", "cancel", "--yes")
    finished = held.up()
    nodes = [node["metadata"]["name"] for node in kubectl(held, "get", "nodes")["items"]]
    again = held.up("--expect-no-changes")
    held.run("kubectl", "delete", f"namespace/{NAMESPACE}")
    assert finished.returncode == 0, finished.stdout
    assert (NODE in nodes, VM in held.vms()) == (False, False)
    assert again.returncode == 0, again.stdout
