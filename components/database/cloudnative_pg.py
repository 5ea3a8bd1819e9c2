"""CloudNativePG's operator: makes PostgreSQL servers from Cluster resources.

Owns the namespace and the Helm release with its CRDs. Does not own a Cluster: `postgres.py`.
Must exist before: the pod network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from components.kit.chart import ChartSource, values
from components.kit.namespace import namespace
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import CLOUDNATIVE_PG

_NAMESPACE: Final = "cnpg-system"
_NAME: Final = "cloudnative-pg"


@dataclass(frozen=True, kw_only=True)
class CloudNativePgArgs:
    """Arguments of `CloudNativePg`.

    schedulable: how many nodes take ordinary pods.
    """

    charts: ChartSource
    schedulable: int


class CloudNativePg(pulumi.ComponentResource):
    """The operator with its kind Cluster."""

    release: Release
    """Up when the operator and its webhooks are; every Cluster depends on it."""

    def __init__(self, name: str, args: CloudNativePgArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:database:CloudNativePg", name, None, opts)
        place = namespace(f"{name}-namespace", _NAMESPACE, "restricted", parent=self)
        configured: dict[str, Any] = values(_NAME)
        configured["replicaCount"] = replicas(args.schedulable)
        configured["topologySpreadConstraints"] = one_per_node(
            {"app.kubernetes.io/name": _NAME, "app.kubernetes.io/instance": _NAME}
        )
        self.release = Release(
            name,
            args.charts.release(CLOUDNATIVE_PG, name=_NAME, namespace=place.metadata.name, values=configured),
            opts=pulumi.ResourceOptions(
                parent=self, custom_timeouts=pulumi.CustomTimeouts(create="15m", update="15m", delete="5m")
            ),
        )
        self.register_outputs({"release": self.release.name})
