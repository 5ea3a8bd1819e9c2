"""Pods in any object that has a template of them, and what a pod needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from checks.model.objects import Object, items, mapping

_TEMPLATES = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True, eq=False)
class Pods:
    """The pods of one workload."""

    of: Object
    path: str
    """Of the pod's specification in the workload."""
    metadata: dict[str, Any]
    spec: dict[str, Any]

    @property
    def labels(self) -> dict[str, Any]:
        return mapping(self.metadata.get("labels"))

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each container with its path, init containers first."""
        for field in ("initContainers", "containers"):
            for number, container in enumerate(items(self.spec.get(field))):
                yield f"{self.path}.{field}[{number}]", container

    @property
    def replicas(self) -> int:
        """How many there are at least; a DaemonSet counts as one on each node, which the caller knows."""
        wanted = self.of.spec.get("replicas")
        return int(wanted) if isinstance(wanted, (int, float)) else 1


def pods_of(thing: Object) -> Pods | None:
    """The pods of a workload; None for any other object."""
    if thing.kind not in _TEMPLATES or thing.group not in ("", "apps", "batch"):
        return None
    path = _TEMPLATES[thing.kind]
    template = mapping(thing.get(*path)) if path else thing.content
    return Pods(thing, ".".join((*path, "spec")), mapping(template.get("metadata")), mapping(template.get("spec")))
