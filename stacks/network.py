"""Layer 3, the network: pods can talk."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.chart import ChartSource
from components.cilium import Cilium, CiliumArgs
from components.talos_config import KUBEPRISM_PORT
from stacks.cluster import ClusterLayer
from stacks.settings import Settings


@dataclass(frozen=True)
class NetworkLayer:
    """What later layers need of the network."""

    cilium: Cilium
    cluster: ClusterLayer

    def inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a component whose pods need the network, made when `after` is there.

        See `ClusterLayer.inside` for what becomes of it at a destroy.
        """
        return pulumi.ResourceOptions(
            providers=[self.cluster.kubernetes],
            deleted_with=self.cluster.foundation,
            depends_on=[self.cilium.release, *after],
        )


def deploy(settings: Settings, *, cluster: ClusterLayer) -> NetworkLayer:
    """Cilium, in which pods of every later layer run."""
    cilium = Cilium(
        "cilium",
        CiliumArgs(
            charts=ChartSource(settings.charts.mirror),
            api_port=KUBEPRISM_PORT,
            operator_replicas=min(2, len(settings.nodes)),
        ),
        opts=cluster.inside,
    )
    return NetworkLayer(cilium, cluster)
