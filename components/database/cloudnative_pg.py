"""CloudNativePG's operator: makes PostgreSQL servers from Cluster resources.

Owns the namespace and the Helm release with its CRDs. Does not own a Cluster: `postgres.py`.
Must exist before: the pod network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.network_policy import Pods
from components.kit.release import Release
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import CLOUDNATIVE_PG

_NAMESPACE: Final = "cnpg-system"
_NAME: Final = "cloudnative-pg"

PODS: Final = Pods(labels={"app.kubernetes.io/name": _NAME, "app.kubernetes.io/instance": _NAME}, namespace=_NAMESPACE)
"""The operator's replicas, for the servers that they look after."""


@dataclass(frozen=True, kw_only=True)
class CloudNativePgArgs:
    """Arguments of `CloudNativePg`.

    schedulable: how many nodes take ordinary pods.
    """

    charts: ChartSource
    schedulable: int


class CloudNativePg(pulumi.ComponentResource):
    """The operator with its kind Cluster."""

    ready: Release
    """Up when the operator and its webhooks are; every Cluster depends on it."""

    def __init__(self, name: str, args: CloudNativePgArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:database:CloudNativePg", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", _NAMESPACE, "restricted", parent=self)
        configured: dict[str, Any] = values(_NAME)
        configured["replicaCount"] = replicas(args.schedulable)
        configured["topologySpreadConstraints"] = one_per_node(PODS.labels)
        self.ready = args.charts.install(
            CLOUDNATIVE_PG, name, parent=self, name=_NAME, namespace=namespace.metadata.name, values=configured
        )
        self.register_outputs({"release": self.ready.name})
