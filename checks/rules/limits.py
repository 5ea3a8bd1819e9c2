"""Limits: of containers, and of all that runs in a namespace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from checks.model.objects import Object, count, items, mapping
from checks.model.platform import Platform
from checks.model.pods import Pods
from checks.rules.capacity import quantity
from checks.rules.rule import Finding, finding, rule

_KINDS = ("requests.cpu", "requests.memory", "limits.memory", "requests.storage", "services.loadbalancers")


@rule(
    "container-limit",
    title="A container may have what it asks for",
    why="The API server refuses the pod: a request is above the limit.",
    remedy="Raise the limit, or lower the request.",
)
def containers(platform: Platform) -> Iterator[Finding]:
    """Containers whose request is above their limit."""
    for pods in platform.pods:
        for place, container in pods.containers():
            resources = mapping(container.get("resources"))
            asked, most = mapping(resources.get("requests")), mapping(resources.get("limits"))
            for name in asked.keys() & most.keys():
                if quantity(asked[name]) > quantity(most[name]):
                    problem = f"is {asked[name]}, and resources.limits.{name} is {most[name]}"
                    yield finding(pods.of, f"{place}.resources.requests.{name}", problem, pods.of.where)


@rule(
    "namespace-quota",
    title="What runs in a namespace fits its quota",
    why="The API server refuses the pod, the claim or the Service that goes beyond it, and its workload waits.",
    remedy="Ask for less, or raise the quota (stacks/applications.py).",
)
def quotas(platform: Platform) -> Iterator[Finding]:
    """Namespaces that ask for more than their ResourceQuota has. Jobs are not counted: they come and go."""
    for quota in platform.of_kind("", "ResourceQuota"):
        if platform.unknown_in(quota.namespace):
            continue
        hard = mapping(quota.spec.get("hard"))
        used = _used(platform, quota.namespace)
        for name in _KINDS:
            asked = sum(size for _, size in used[name])
            if name in hard and asked > quantity(hard[name]):
                most = sorted(used[name], key=lambda one: -one[1])[:3]
                shown = ", ".join(f"{of} {_shown(name, size)}" for of, size in most)
                problem = f"is {hard[name]}, and {quota.namespace} asks for {_shown(name, asked)}; the most: {shown}"
                yield finding(quota, f"spec.hard.{name}", problem, most[0][0].where)


def _used(platform: Platform, namespace: str) -> dict[str, list[tuple[Object, float]]]:
    """What each object of a namespace counts for, by the quota's names."""
    found: dict[str, list[tuple[Object, float]]] = defaultdict(list)
    defaults = _defaults(platform, namespace)
    for pods in platform.pods_in(namespace):
        if pods.of.kind not in ("Job", "CronJob"):
            for name in ("requests.cpu", "requests.memory", "limits.memory"):
                found[name].append((pods.of, _of_pods(pods, name, defaults)))
    for cluster in platform.of_kind("postgresql.cnpg.io", "Cluster"):
        if cluster.namespace == namespace:
            copies = count(cluster.spec.get("instances"))
            for name in ("requests.cpu", "requests.memory", "limits.memory"):
                side, _, resource = name.partition(".")
                each = mapping(mapping(cluster.spec.get("resources")).get(side)).get(resource)
                found[name].append((cluster, copies * quantity(each)))
            for field in ("storage", "walStorage"):
                size = quantity(mapping(cluster.spec.get(field)).get("size"))
                found["requests.storage"].append((cluster, copies * size))
    for claim in platform.of_kind("", "PersistentVolumeClaim"):
        if claim.namespace == namespace:
            found["requests.storage"].append((claim, _size(claim.spec)))
    for workload in platform.of_kind("apps", "StatefulSet"):
        if workload.namespace == namespace and workload.manager.system != "operator":
            for template in items(workload.spec.get("volumeClaimTemplates")):
                size = _size(mapping(template.get("spec"))) * count(workload.spec.get("replicas"))
                found["requests.storage"].append((workload, size))
    for service in platform.of_kind("", "Service"):
        if service.namespace == namespace and service.spec.get("type") == "LoadBalancer":
            found["services.loadbalancers"].append((service, 1.0))
    return found


def _of_pods(pods: Pods, name: str, defaults: dict[str, float]) -> float:
    side, _, resource = name.partition(".")
    running, first = 0.0, 0.0
    for path, container in pods.containers():
        given = mapping(mapping(container.get("resources")).get(side)).get(resource)
        size = quantity(given) if given is not None else defaults.get(name, 0.0)
        if ".initContainers" in path and container.get("restartPolicy") != "Always":
            first = max(first, size)
        else:
            running += size
    # One pod of a DaemonSet for each node is left to the rule on the nodes' capacity.
    return max(running, first) * (1 if pods.of.kind == "DaemonSet" else pods.replicas)


def _defaults(platform: Platform, namespace: str) -> dict[str, float]:
    """What a container has that says nothing, by the quota's names."""
    found: dict[str, float] = {}
    for limits in platform.of_kind("", "LimitRange"):
        for entry in items(limits.spec.get("limits")) if limits.namespace == namespace else ():
            if entry.get("type") == "Container":
                for side, field in (("limits", "default"), ("requests", "defaultRequest")):
                    for resource, text in mapping(entry.get(field)).items():
                        found[f"{side}.{resource}"] = quantity(text)
    return found


def _size(spec: dict[str, object]) -> float:
    return quantity(mapping(mapping(spec.get("resources")).get("requests")).get("storage"))


def _shown(name: str, size: float) -> str:
    if name == "services.loadbalancers":
        return f"{size:.0f}"
    return f"{size:.2f} cores" if name.endswith("cpu") else f"{size / 2**30:.2f} GiB"
