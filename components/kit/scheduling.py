"""Where the pods of one workload run: apart from each other, so that losing a node does not take the workload down.

Owns no resource: it makes part of a chart's values, or of a pod template of our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOSTNAME = "kubernetes.io/hostname"


def one_per_node(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `topologySpreadConstraints` of a Deployment with `labels`: never two pods on one node while another has none.

    Unlike a required anti-affinity, it lets two replicas be rolled out on two nodes, as pods of another revision
    do not count. A drained node still counts: its pod waits for the node to return rather than joining the other one,
    where it would stay.
    """
    return [
        {
            "maxSkew": 1,
            "topologyKey": HOSTNAME,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": dict(labels)},
            "matchLabelKeys": ["pod-template-hash"],
        }
    ]


def replicas(schedulable: int) -> int:
    """Two where two nodes can hold them, else one: for a workload with one active replica and one on standby."""
    if schedulable < 1:
        raise ValueError(f"schedulable: {schedulable} nodes take ordinary pods; a cluster needs at least 1")
    return min(2, schedulable)
