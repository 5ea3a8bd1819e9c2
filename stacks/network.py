"""Layer 3, the network: pods can talk, and Services have addresses outside the cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kit.chart import ChartSource
from components.network.address_pool import AddressPool, AddressPoolArgs
from components.network.cilium import Cilium, CiliumArgs
from components.network.metallb import MetalLb, MetalLbArgs
from components.talos.config import KUBEPRISM_PORT
from stacks.cluster import ClusterLayer
from stacks.settings.model import Settings


@dataclass(frozen=True)
class NetworkLayer:
    """What later layers need of the network."""

    cilium: Cilium
    cluster: ClusterLayer
    ingress_pool: AddressPool
    dns_pool: AddressPool

    def inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a component whose pods need the network, made when `after` is there.

        See `ClusterLayer.inside` for what becomes of it at a destroy.
        """
        return self.cluster.inside(self.cilium.ready, *after)


def deploy(settings: Settings, *, cluster: ClusterLayer) -> NetworkLayer:
    """Cilium, in which pods of every later layer run, and MetalLB with the pools of the settings."""
    charts = ChartSource(settings.charts.mirror)
    cilium = Cilium(
        "cilium",
        CiliumArgs(
            charts=charts,
            api_port=KUBEPRISM_PORT,
            operator_replicas=min(2, len(settings.nodes)),
        ),
        opts=cluster.inside(),
    )
    inside = cluster.inside(cilium.ready)
    metallb = MetalLb(
        "metallb", MetalLbArgs(charts=charts, announce_from_control_planes=not settings.workers), opts=inside
    )
    pools = {
        # Only Services that name no pool may take any address; the other two are promised to one Service each.
        name: AddressPool(
            f"{name}-pool",
            AddressPoolArgs(
                metallb=metallb,
                addresses=addresses,
                auto_assign=name == "services",
                setting=f"homelab:network.pools.{name}",
            ),
            opts=inside,
        )
        for name, addresses in settings.network.pools
    }
    return NetworkLayer(
        cilium=cilium,
        cluster=cluster,
        ingress_pool=pools["ingress"],
        dns_pool=pools["dns"],
    )
