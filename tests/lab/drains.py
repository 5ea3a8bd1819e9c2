"""Nodes drained by the real API, which respects disruption budgets, and what is ready while they are."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.lab.live import LiveLab

Workload = tuple[str, str]
"""Namespace, and kind and name as `deployment/nginx`."""


def kubectl(lab: LiveLab, *arguments: str) -> Any:
    return json.loads(lab.run("kubectl", *arguments, "-o", "json").stdout)


def drain(lab: LiveLab, node: str, seconds: int, *more: str) -> Any:
    """Evict a node's pods as an administrator does before maintenance."""
    fixed = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={seconds}s")
    return lab.run("kubectl", "drain", node, *fixed, *more)


def ready_replicas(lab: LiveLab, workloads: Sequence[Workload]) -> dict[str, int]:
    """How many replicas of each workload are ready."""
    found = kubectl(lab, "get", "deployments,statefulsets", "-A")["items"]
    ready = {
        (item["metadata"]["namespace"], f"{item['kind'].lower()}/{item['metadata']['name']}"): item["status"]
        for item in found
    }
    return {workload: ready[namespace, workload].get("readyReplicas", 0) for namespace, workload in workloads}


def nodes_of(lab: LiveLab, namespace: str, workload: str) -> list[str]:
    """The nodes with a ready pod of a workload. Asked of the pods: a workload's status follows them with a delay."""
    labels = kubectl(lab, "-n", namespace, "get", workload)["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return sorted(
        pod["spec"]["nodeName"]
        for pod in kubectl(lab, "-n", namespace, "get", "pods", "-l", selector)["items"]
        if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions") or ())
    )


@dataclass
class Watch:
    """The fewest ready replicas that each workload was seen with."""

    lab: LiveLab
    workloads: Sequence[Workload]
    fewest: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        for workload, ready in ready_replicas(self.lab, self.workloads).items():
            self.fewest[workload] = min(ready, self.fewest.get(workload, ready))

    @contextmanager
    def running(self) -> Iterator[None]:
        done = threading.Event()

        def look_until_done() -> None:
            while not done.is_set():
                self.look()
                time.sleep(0.2)

        watcher = threading.Thread(target=look_until_done)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()
            self.look()
