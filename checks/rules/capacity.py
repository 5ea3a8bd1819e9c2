"""Capacity: what is asked for fits what there is."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from checks.model.objects import Object, count, items, mapping
from checks.model.platform import Platform
from checks.model.pods import Pods
from checks.rules.rule import Finding, finding, rule

NODE_MEMORY = 2048
"""MiB that Talos asks for on a control plane; a worker gets by with 1024
(https://www.talos.dev/v1.13/introduction/system-requirements/)."""
WORKER_MEMORY = 1024

RESOURCES = ("cpu", "memory")

_UNITS = {
    "": 1.0,
    "m": 0.001,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


@rule(
    "vm-memory",
    title="A VM's guaranteed memory is enough for its node, and not above its maximum",
    why="Proxmox takes memory from the guest down to the floor: the node runs out of memory, or the VM does not start.",
    remedy="Set dedicated to what the node needs; floating no higher, and at least the node's minimum, or 0.",
    fast=True,
)
def memory(platform: Platform) -> Iterator[Finding]:
    """VMs whose memory is too small or turned around."""
    nodes = mapping(platform.settings.get("nodes"))
    for machine in platform.machines:
        dedicated, floating = machine.memory.get("dedicated"), machine.memory.get("floating")
        role = str(mapping(nodes.get(machine.name)).get("role", "controlplane"))
        least = WORKER_MEMORY if role == "worker" else NODE_MEMORY
        if isinstance(dedicated, int) and dedicated < least:
            problem = f"is {dedicated} MiB (floating {floating}): a {role} needs {least}"
            yield finding(f"VM {machine.name}", "memory.dedicated", problem, machine.where)
        if isinstance(floating, int) and isinstance(dedicated, int):
            if floating > dedicated:
                problem = f"is {floating} MiB, more than memory.dedicated, which is {dedicated}"
                yield finding(f"VM {machine.name}", "memory.floating", problem, machine.where)
            elif 0 < floating < least:
                problem = f"is {floating} MiB (dedicated {dedicated}): a {role} needs {least}"
                yield finding(f"VM {machine.name}", "memory.floating", problem, machine.where)
        wanted = mapping(nodes.get(machine.name)).get("memory")
        if isinstance(wanted, int) and isinstance(dedicated, int) and dedicated != wanted and dedicated >= least:
            problem = f"is {dedicated} MiB, and nodes.{machine.name}.memory is {wanted}"
            yield finding(f"VM {machine.name}", "memory.dedicated", problem, machine.where)


@rule(
    "requests",
    title="All pods' requests fit the workers, with the largest of them down",
    why="Pods stay Pending when a node is drained or fails.",
    remedy="Lower requests, or give the workers more memory or cores.",
)
def requests(platform: Platform) -> Iterator[Finding]:
    """Memory or processor time that is asked for and not there."""
    if not mapping(platform.settings.get("nodes")):
        return
    for resource in ("memory", "cpu"):
        sizes, left = room(platform, resource)
        asked = [(one.amounts[resource], one.of) for one in requested(platform)]
        total = sum(size for size, _ in asked)
        if total > left:
            most = sorted(asked, key=lambda one: -one[0])[:3]
            shown = ", ".join(f"{of} {_shown(size, resource)}" for size, of in most)
            down = f"with {max(sizes, key=lambda name: sizes[name])} down" if len(sizes) > 1 else "on its only worker"
            problem = (
                f"come to {_shown(total, resource)}, and {_shown(left, resource)} are there {down}; the most: {shown}"
            )
            yield finding("all pods", f"resources.requests.{resource}", problem, most[0][1].where)


def room(platform: Platform, resource: str) -> tuple[dict[str, float], float]:
    """What each node that runs ordinary pods has of a resource, and what is left of all with the largest one down."""
    nodes = {name: node for name, node in mapping(platform.settings.get("nodes")).items() if isinstance(node, dict)}
    workers = {name: node for name, node in nodes.items() if node.get("role") == "worker"} or nodes
    field, unit = ("memory", 2**20) if resource == "memory" else ("cores", 1)
    sizes = {name: float(node.get(field) or 0) * unit for name, node in workers.items()}
    return sizes, sum(sizes.values()) - (max(sizes.values()) if len(sizes) > 1 else 0)


@dataclass(frozen=True)
class Requested:
    """What all pods of one object request, in bytes and cores."""

    of: Object
    amounts: Mapping[str, float]


_OPERATED = {
    ("postgresql.cnpg.io", "Cluster"): "instances",
    ("vault.banzaicloud.com", "Vault"): "size",
    ("monitoring.coreos.com", "Prometheus"): "replicas",
    ("monitoring.coreos.com", "Alertmanager"): "replicas",
}
"""Objects from which an operator makes pods, and the field with their number. Its own sidecars are not counted."""


def requested(platform: Platform) -> Iterator[Requested]:
    """What is asked for by each workload, and by each object that an operator makes one of.

    A DaemonSet counts once for every worker: on control planes it takes nothing from them.
    """
    nodes = [node for node in mapping(platform.settings.get("nodes")).values() if isinstance(node, dict)]
    number = sum(node.get("role") == "worker" for node in nodes) or len(nodes)
    for pods in platform.pods:
        yield Requested(pods.of, {resource: amount(pods, resource, number) for resource in RESOURCES})
    for (group, kind), field in _OPERATED.items():
        for thing in platform.of_kind(group, kind):
            copies = float(count(thing.spec.get(field)))
            each = mapping(thing.spec.get("resources"))
            containers = [each] if "requests" in each else [mapping(part) for part in each.values()]
            yield Requested(
                thing,
                {
                    resource: copies * sum(quantity(mapping(one.get("requests")).get(resource)) for one in containers)
                    for resource in RESOURCES
                },
            )


def amount(pods: Pods, resource: str, nodes: int) -> float:
    """What all pods of a workload request of a resource, in bytes or cores."""
    each = 0.0
    for path, container in pods.containers():
        size = quantity(mapping(mapping(container.get("resources")).get("requests")).get(resource))
        each = max(each, size) if ".initContainers" in path else each + size
    return each * (nodes if pods.of.kind == "DaemonSet" else 0 if pods.of.kind in ("Job", "CronJob") else pods.replicas)


def quantity(text: Any) -> float:
    """A Kubernetes quantity as a number; 0 where it is none."""
    match = re.fullmatch(r"([\d.]+)(m|[kMGT]i?|Ki)?", str(text))
    return float(match.group(1)) * _UNITS[match.group(2) or ""] if match else 0.0


def _shown(size: float, resource: str) -> str:
    return f"{size:.1f} cores" if resource == "cpu" else f"{size / 2**30:.1f} GiB"


@rule(
    "volume-space",
    title="All claims of a class fit the datastore that it puts them in",
    why="The driver makes no volume, or the datastore fills up under running ones.",
    remedy="Choose a datastore that is large enough, or ask for less.",
)
def volumes(platform: Platform) -> Iterator[Finding]:
    """Classes whose claims exceed what the hosts' disks have left."""
    site = mapping(platform.settings.get("site"))
    hosts = {name: host for name, host in mapping(site.get("hosts")).items() if isinstance(host, dict)}
    default = next(
        (one.name for one in platform.of_kind("storage.k8s.io", "StorageClass") if is_default(one.annotations)), ""
    )
    asked: dict[str, float] = defaultdict(float)
    for name, size in claims(platform):
        asked[name or default] += size
    for klass in platform.of_kind("storage.k8s.io", "StorageClass"):
        store = str(mapping(klass.content.get("parameters")).get("storage") or "")
        if not store or not hosts:
            continue
        disks = _disks(platform, hosts, store)
        sizes = mapping(mapping(platform.settings.get("storage")).get("sizes"))
        left = float(sizes[store]) if store in sizes else sum(disks.values()) if disks else None
        if left is None and asked[klass.name] and store not in _given_as_datastore(platform):
            problem = (
                f"is {store}, whose size nobody gave (storage.sizes), and claims of this class come to "
                f"{asked[klass.name] / 2**30:.0f} GiB"
            )
            yield finding(klass, "parameters.storage", problem, klass.where)
        if left is not None and asked[klass.name] / 2**30 > left:
            wanted = asked[klass.name] / 2**30
            problem = f"is {store}, which has {left:.0f} GiB left, and claims of this class come to {wanted:.0f} GiB"
            yield finding(klass, "parameters.storage", problem, klass.where)


def _given_as_datastore(platform: Platform) -> set[str]:
    """The datastore that the settings choose for volumes: its size may stay unsaid."""
    return {str(mapping(platform.settings.get("storage")).get("datastore") or "")}


def _disks(platform: Platform, hosts: dict[str, dict[str, Any]], store: str) -> dict[str, float]:
    """GiB that the VMs leave on hosts whose VMs' disks are in the same datastore."""
    site = mapping(platform.settings.get("site"))
    left = {}
    for name, host in hosts.items():
        if (host.get("diskDatastore") or site.get("diskDatastore") or "local-zfs") == store:
            nodes = mapping(platform.settings.get("nodes")).values()
            used = sum(
                float(node.get("disk") or 0) for node in nodes if isinstance(node, dict) and node.get("host") == name
            )
            left[name] = float(host.get("disk") or 0) - used
    return left


def is_default(annotations: dict[str, Any]) -> bool:
    """Whether these annotations make a StorageClass the default one."""
    return str(annotations.get("storageclass.kubernetes.io/is-default-class")).lower() == "true"


def claims(platform: Platform) -> Iterator[tuple[str, float]]:
    """Class and size in bytes of every claim that will exist; the class is empty for the default one."""
    for claim in platform.of_kind("", "PersistentVolumeClaim"):
        yield _claim(claim.spec, 1)
    for workload in platform.of_kind("apps", "StatefulSet"):
        replicas = count(workload.spec.get("replicas"))
        for template in items(workload.spec.get("volumeClaimTemplates")):
            yield _claim(mapping(template.get("spec")), replicas)
    for cluster in platform.of_kind("postgresql.cnpg.io", "Cluster"):
        for field in ("storage", "walStorage"):
            part = mapping(cluster.spec.get(field))
            if part:
                yield (
                    str(part.get("storageClass") or ""),
                    quantity(part.get("size")) * count(cluster.spec.get("instances")),
                )


def _claim(spec: dict[str, Any], replicas: int) -> tuple[str, float]:
    size = quantity(mapping(mapping(spec.get("resources")).get("requests")).get("storage"))
    return str(spec.get("storageClassName") or ""), size * replicas
