"""A worker is drained and removed, as README.md says, from a lab with real pods, while clients ask its Services.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import processes
from lab.pods import namespaces
from tests.lab.live import CLUSTER
from tests.lab.pods_cluster import refuse_without_root, until
from tests.lab.pods_lab import PodsLab
from tests.lab.talos_site import stretch
from tests.lab.test_real_pods import control_groups

LEAVING, STAYING = "worker-1", "worker-0"

LONGEST_LOSS = 5.0
"""Seconds that a client waits before it asks again."""

SERVER = {
    "name": "server",
    "image": "powerdns/pdns-auth-49:any",
    "command": ["python3", "-m", "http.server", "8080"],
    "ports": [{"containerPort": 8080}],
    "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    # Until every node has learnt that it ends.
    "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
}


def served(name: str, node: str | None) -> list[dict[str, Any]]:
    """A Service of two pods on two nodes, one of which may be away; or of one pod, which waits for a node."""
    labels = {"app": name}
    spread = {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "containers": [SERVER],
            "topologySpreadConstraints": [spread | {"labelSelector": {"matchLabels": labels}}],
            **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
        },
    }
    selector = {"matchLabels": labels}
    metadata = {"name": name, "namespace": "default"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 2, "selector": selector, "template": template},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"maxUnavailable": 1, "selector": selector},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
        },
    ]


@pytest.fixture(scope="module")
def lab() -> Iterator[PodsLab]:
    """A lab of the layers up to storage, with two workers that run pods."""
    refuse_without_root()
    made = PodsLab("pytest-pods", CLUSTER)
    begun = made.begin()
    assert begun.returncode == 0, begun.stdout
    yield made
    ended = made.command("down")
    assert ended.returncode == 0, ended.stdout


def get(lab: PodsLab, *arguments: str) -> dict[str, Any]:
    """An object, or a list of them."""
    return dict(json.loads(lab.run("kubectl", "get", *arguments, "-o", "json").stdout))


def apply(lab: PodsLab, *objects: dict[str, Any]) -> None:
    """Makes the objects."""
    path = lab.session.directory / "objects.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    made = lab.run("kubectl", "apply", "-f", str(path))
    assert made.returncode == 0, made.stdout


def without_a_worker(settings: dict[str, Any]) -> None:
    """The change that a person makes."""
    del settings["nodes"][LEAVING]


def services(lab: PodsLab) -> dict[str, str]:
    """What answers over TCP at a Service whose pods run: each Service by its address and port."""
    names = {node["metadata"]["name"] for node in get(lab, "nodes", "-l", "lab.invalid/kubelet=real")["items"]}
    behind = {
        (item["metadata"]["namespace"], item["metadata"]["labels"]["kubernetes.io/service-name"])
        for item in get(lab, "endpointslices", "-A")["items"]
        if any(each.get("nodeName") in names for each in item.get("endpoints") or [])
    }
    real = {
        (pod["metadata"]["namespace"], pod["status"].get("podIP"))
        for pod in get(lab, "pods", "-A")["items"]
        if "lab.invalid/played-for" not in (pod["metadata"].get("annotations") or {})
    }
    addresses = {address for _, address in real}
    found = {}
    for item in get(lab, "services", "-A")["items"]:
        name = item["metadata"]["namespace"], item["metadata"]["name"]
        slices = get(lab, "endpointslices", "-n", name[0], "-l", f"kubernetes.io/service-name={name[1]}")["items"]
        of_pods = {address for each in slices for one in each.get("endpoints") or [] for address in one["addresses"]}
        if name in behind and of_pods and of_pods <= addresses:
            for port in item["spec"]["ports"]:
                if port["protocol"] == "TCP":
                    found[f"{item['spec']['clusterIP']}:{port['port']}"] = "/".join(name)
    return found


def ready(lab: PodsLab, selector: str, count: int) -> Callable[[], bool]:
    """Whether so many pods of a namespace's are ready."""

    def holds() -> bool:
        pods = get(lab, "pods", "-A", "-l", selector)["items"]
        conditions = [each for pod in pods for each in pod["status"].get("conditions") or []]
        return len([each for each in conditions if (each["type"], each["status"]) == ("Ready", "True")]) == count

    return holds


def test_a_worker_leaves_while_clients_ask_every_service_whose_pods_run(
    lab: PodsLab, figure: Callable[[str], None]
) -> None:
    state = lambda: lab.run("kubectl", "get", "pods,events", "-A", "-o", "wide").stdout[-6000:]  # noqa: E731
    apply(lab, *served("spread", None))
    until("two servers", ready(lab, "app=spread", 2), state)
    until("CoreDNS", ready(lab, "k8s-app=kube-dns", 2), state)
    asked = services(lab)
    assert {"default/spread", "kube-system/kube-dns"} <= set(asked.values())
    group = namespaces.kept(lab.session)
    assert group is not None
    assert [place for place in control_groups(group) if (Path(place) / LEAVING).exists()]
    assert running_for(lab, LEAVING)

    with lab.started(sys.executable, "-m", "tests.lab.probing", *asked) as probing, lab.changed(without_a_worker):
        assert probing.stdout is not None
        assert probing.stdout.readline() == "begun\n"
        slowness = stretch()
        changed = lab.up()
        assert changed.returncode == 0, changed.stdout
        until("two servers elsewhere", ready(lab, "app=spread", 2), state)
        said, _ = probing.communicate()

    longest = {asked[name]: seconds for name, seconds in json.loads(said).items()}
    for name, seconds in sorted(longest.items()):
        figure(f"a worker drained and removed: {name} gave no connection for {seconds:.1f} s at most")
    assert {
        name: seconds for name, seconds in longest.items() if seconds > LONGEST_LOSS * max(slowness, stretch())
    } == {}

    nodes = {node["metadata"]["name"] for node in get(lab, "nodes")["items"]}
    assert LEAVING not in nodes
    assert STAYING in nodes
    assert 2002 not in lab.vms()
    assert running_for(lab, LEAVING) == []


def running_for(lab: PodsLab, node: str) -> list[str]:
    """What runs for a node: its kubelet, its runtime, its containers' shims, its storage drivers."""
    commands = (_command(process.pid) for process in processes.members(lab.session))
    return [command for command in commands if node in command]


def _command(pid: int) -> str:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
