"""Layer 3, the network: pods can talk."""

from __future__ import annotations

from dataclasses import dataclass

from components.chart import ChartSource
from components.cilium import Cilium, CiliumArgs
from components.talos_config import KUBEPRISM_PORT
from stacks.cluster import ClusterLayer
from stacks.settings import Settings


@dataclass(frozen=True)
class NetworkLayer:
    """What later layers need of the network."""

    cilium: Cilium


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
    return NetworkLayer(cilium)
