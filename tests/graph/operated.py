"""What becomes of the program's objects once the operators of the platform have looked at them.

The lab's rules of the operators (`lab/operators`) act on the recorded graph until nothing changes any more. Charts have
what `lab/charts.yaml` says; their operators run.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from checks.graph import UNKNOWN, Graph, Secret
from lab.charts import TABLE
from lab.operators.pods import NEEDED
from lab.operators.rules import RULES
from lab.operators.world import World, key, outcomes

RELEASE = "kubernetes:helm.sh/v3:Release"
WAIT = "pulumi.com/waitFor"

BY_FLUX = ("FluxInstance", "GitRepository", "Kustomization")
"""Kinds that no rule is for: the lab runs Flux's own controllers."""

Change = Callable[[dict[str, dict[str, Any]]], object]
"""Edits objects, which are named Kind namespace/name, before any operator sees them."""


class Operated:
    """The cluster at rest."""

    def __init__(self, graph: Graph, change: Change = lambda _: None) -> None:
        objects = {_label(item): copy.deepcopy(item) for item in (*_of_the_program(graph), *_of_charts(graph))}
        change(objects)
        for number, item in enumerate(objects.values()):
            item["metadata"] |= {"uid": str(number), "generation": 1}
        self.world = World(objects.values())
        self._awaited = [
            (item, item["metadata"]["annotations"][WAIT].removeprefix("condition="))
            for item in objects.values()
            if (item["metadata"].get("annotations") or {}).get(WAIT) and item["kind"] not in BY_FLUX
        ]
        self._settle()

    def _settle(self) -> None:
        for _ in range(60):
            changed = False
            for rule, item, outcome in list(outcomes(RULES, self.world)):
                namespace, name = key(item)
                now = self.world.find(rule.kind.name, name, namespace) or item
                written = []
                if outcome.status or outcome.spec:
                    status = {**now.get("status", {}), **outcome.status}
                    written = [{**now, "status": status, "spec": {**now.get("spec", {}), **outcome.spec}}]
                for each in (*written, *outcome.makes):
                    namespace, name = key(each)
                    changed |= self.world.find(each["kind"], name, namespace) != each
                    self.world.put(each)
            if not changed:
                return
        raise AssertionError("the operators never come to rest")

    def unready(self) -> dict[str, str]:
        """What `up` would wait for in vain, with what its condition says."""
        found = {}
        for item, wanted in self._awaited:
            name, namespace = item["metadata"]["name"], item["metadata"].get("namespace") or ""
            now = self.world.find(item["kind"], name, namespace) or {}
            told = next((each for each in now.get("status", {}).get("conditions", []) if each["type"] == wanted), None)
            if told is None or told["status"] != "True":
                found[_label(item)] = "no condition" if told is None else told.get("message") or told.get("error", "")
        return found

    def events(self) -> list[str]:
        """What operators say of objects that have no condition, or none with enough words."""
        made = (each for _, _, outcome in outcomes(RULES, self.world) for each in outcome.makes)
        return [str(each["message"]) for each in made if each["kind"] == "Event"]

    def held(self) -> list[str]:
        """Pods whose program does not start, as namespace/name."""
        return ["/".join(key(each)) for each in self.world.all("Pod") if each["spec"].get("schedulingGates")]

    def announced(self) -> set[str]:
        """Services whose address a speaker of MetalLB announces, as namespace/name."""
        told = [each["status"] for each in self.world.all("ServiceL2Status")]
        return {f"{each['serviceNamespace']}/{each['serviceName']}" for each in told}

    def addresses(self) -> dict[str, list[str]]:
        """The addresses of Services of type LoadBalancer, as namespace/name."""
        return {
            "/".join(key(each)): [entry["ip"] for entry in each["status"]["loadBalancer"].get("ingress", [])]
            for each in self.world.all("Service")
            if each["spec"].get("type") == "LoadBalancer"
        }


class _Unknown(dict[str, str]):
    """The data of a Secret of which nothing is known before an `up`, not even its keys: it has any."""

    def __bool__(self) -> bool:
        return True

    def get(self, _key: str, _default: object = None) -> Any:
        """The value of a key."""
        return "dW5rbm93bg=="


def _label(item: dict[str, Any]) -> str:
    place = [item["metadata"].get("namespace"), item["metadata"]["name"]]
    return f"{item['kind']} {'/'.join(part for part in place if part)}"


def _of_the_program(graph: Graph) -> Iterator[dict[str, Any]]:
    for node in graph.resources():
        if node.type.startswith("kubernetes:") and node.type != RELEASE and "kind" in node.inputs:
            item: dict[str, Any] = _plain(node.inputs)
            item["metadata"].setdefault("name", node.name)
            if item.get("data") == "unknown":
                item["data"] = _Unknown()
            yield item


def _of_charts(graph: Graph) -> Iterator[dict[str, Any]]:
    """Workloads that run, and Services with an address of their own."""
    table = _table()
    for node in graph.of_type(RELEASE):
        values, namespace = node.inputs.get("values") or {}, node.inputs["namespace"]
        chart = node.inputs["chart"].rpartition("/")[2]
        entry = next((found for name, found in table.items() if chart.startswith(name)), None)
        if entry is None:
            yield _running(chart, namespace)
            yield _service(chart, namespace, values["service"]["annotations"])
            continue
        for workload in entry.get("workloads", []):
            yield _running(workload["name"], namespace)
            if workload["kind"] == "DaemonSet":
                yield _pod(workload, namespace)
            if place := workload.get("secret"):
                yield _gated(workload["name"], namespace, _at(values, place))
        for service in entry.get("services", []):
            if service.get("type") == "LoadBalancer":
                yield _service(service["name"], namespace, _at(values, service["annotations"]))


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load(TABLE.read_text())
    return table


def charts_services(graph: Graph) -> list[dict[str, Any]]:
    """The Services with an address of their own, as charts make them."""
    return [item for item in _of_charts(graph) if item["kind"] == "Service"]


def _running(name: str, namespace: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "status": {"availableReplicas": 1}}


def _pod(workload: dict[str, Any], namespace: str) -> dict[str, Any]:
    metadata = {"name": f"{workload['name']}-0", "namespace": namespace, "labels": workload.get("labels", {})}
    running = {"spec": {"nodeName": "worker-0"}, "status": {"phase": "Running"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **running}


def _gated(name: str, namespace: str, secret: str) -> dict[str, Any]:
    metadata = {"name": f"{name}-0", "namespace": namespace, "annotations": {NEEDED: secret}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"schedulingGates": [{"name": NEEDED}]}}


def _service(name: str, namespace: str, annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer"}}


def _at(values: dict[str, Any], path: str) -> Any:
    for part in path.split("."):
        values = values[part]
    return values


def _plain(value: Any) -> Any:
    """A recorded value as the API would get it; what only an `up` knows has a stand-in."""
    if isinstance(value, Secret):
        return _plain(value.value)
    if value is UNKNOWN:
        return "unknown"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
