"""The network layer: pods can communicate, and Services get addresses outside the cluster."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kit.chart import ChartSource
from components.network.address_pool import AddressPool, AddressPoolArgs
from components.network.cilium import ETHERNET_MTU, Cilium, CiliumArgs
from components.network.core_dns import CoreDns, CoreDnsArgs
from components.network.kubelet_certificates import KubeletCertificates, KubeletCertificatesArgs
from components.network.metallb import MetalLb, MetalLbArgs
from components.talos.config import KUBEPRISM_PORT
from stacks import sso
from stacks.cluster import ClusterLayer
from stacks.settings.model import Settings


@dataclass(frozen=True)
class NetworkLayer:
    """What later layers need from the network."""

    cilium: Cilium
    core_dns: CoreDns
    cluster: ClusterLayer
    ingress_pool: AddressPool
    dns_pool: AddressPool
    services_pool: AddressPool

    def inside(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options for a component whose pods need the network and names, created once `after` exists.

        See `ClusterLayer.inside` for what happens to it in a destroy.
        """
        return self.cluster.inside(self.core_dns.ready, *after)


def deploy(settings: Settings, *, cluster: ClusterLayer) -> NetworkLayer:
    """Deploy what all later layers' pods need: Cilium, CoreDNS, and MetalLB with the pools from the settings."""
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
    core_dns = CoreDns(
        "coredns",
        CoreDnsArgs(
            charts=charts,
            services=settings.network.service_cidr,
            nodes=len(settings.nodes),
            domain=settings.cluster.domain,
            # To a pod, what people sign on to is at the ingress, and not out at the public host and back.
            inside={settings.network.pools.ingress.first: sso.hosts(settings.cluster.domain)},
        ),
        opts=cluster.inside(cilium.ready),
    )
    inside = cluster.inside(core_dns.ready)
    KubeletCertificates(
        "kubelet-certificates",
        KubeletCertificatesArgs(charts=charts, nodes={name: node.address for name, node in settings.nodes.items()}),
        opts=inside,
    )
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
        core_dns=core_dns,
        cluster=cluster,
        ingress_pool=pools["ingress"],
        dns_pool=pools["dns"],
        services_pool=pools["services"],
    )
