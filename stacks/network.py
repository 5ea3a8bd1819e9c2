"""The network layer: pods can communicate, and Services get addresses outside the cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kit.chart import ChartSource
from components.network.address_pool import AddressPool, AddressPoolArgs
from components.network.cilium import ETHERNET_MTU, Cilium, CiliumArgs
from components.network.metallb import MetalLb, MetalLbArgs
from components.talos.config import KUBEPRISM_PORT
from stacks.cluster import ClusterLayer
from stacks.settings.model import Settings


@dataclass(frozen=True)
class NetworkLayer:
    """What later layers need from the network."""

    cilium: Cilium
    cluster: ClusterLayer
    ingress_pool: AddressPool
    dns_pool: AddressPool

    def inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options for a component whose pods need the network, created once `after` exists.

        See `ClusterLayer.inside` for what happens to it in a destroy.
        """
        return self.cluster.inside(self.cilium.ready, *after)


def deploy(settings: Settings, *, cluster: ClusterLayer) -> NetworkLayer:
    """Deploy Cilium, which the pods of all later layers need, and MetalLB with the pools from the settings."""
    charts = ChartSource(settings.charts.mirror)
    cilium = Cilium(
        "cilium",
        CiliumArgs(
            charts=charts,
            api_port=KUBEPRISM_PORT,
            operator_replicas=min(2, len(settings.nodes)),
            mtu=ETHERNET_MTU if settings.talos.extensions.tailscale else None,
        ),
        opts=cluster.inside(),
    )
    inside = cluster.inside(cilium.ready)
    metallb = MetalLb(
        "metallb", MetalLbArgs(charts=charts, announce_from_control_planes=not settings.workers), opts=inside
    )
    pools = {
        # Services that name no pool get theirs from `services`; the other two pools are each reserved for one Service.
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
