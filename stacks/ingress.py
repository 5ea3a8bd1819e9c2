"""Layer 4, the ingress: HTTP from outside by host name, and certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from components.certificates.acme import issuer_name
from components.certificates.cert_manager import CertManager, CertManagerArgs
from components.certificates.cluster_ca import ClusterCa, ClusterCaArgs
from components.kit.chart import ChartSource
from components.network.nginx_ingress import SERVICE, NginxIngress, NginxIngressArgs
from stacks.network import NetworkLayer
from stacks.settings.model import Settings


@dataclass(frozen=True)
class IngressLayer:
    """What later layers need of the ingress and of certificates."""

    nginx: NginxIngress
    cert_manager: CertManager
    ca: ClusterCa


def deploy(settings: Settings, *, network: NetworkLayer) -> IngressLayer:
    """NGINX on the ingress address; cert-manager with the cluster's own CA."""
    charts = ChartSource(settings.charts.mirror)
    nginx = NginxIngress(
        "nginx-ingress",
        NginxIngressArgs(
            charts=charts,
            schedulable=settings.schedulable,
            address=network.ingress_pool.claim(SERVICE),
            traffic=_traffic(settings),
            public_address=settings.public_address,
        ),
        opts=network.inside(),
    )
    cert_manager = CertManager(
        "cert-manager",
        CertManagerArgs(
            charts=charts,
            schedulable=settings.schedulable,
            resolvers=settings.certificates.resolvers,
            default_issuer=issuer_name(settings.certificates.staging, "dns"),
        ),
        opts=network.inside(),
    )
    ca = ClusterCa(
        "cluster-ca",
        ClusterCaArgs(cert_manager=cert_manager, common_name=f"{settings.cluster.name} cluster CA"),
        opts=network.inside(),
    )
    return IngressLayer(nginx, cert_manager, ca)


def _traffic(settings: Settings) -> Literal["Cluster", "Local"]:
    """`Local`, which keeps the client's address, unless nodes route to the ingress address for the tailnet.

    Such a node takes a packet for the address itself, whether or not it has a replica. The client's address is lost on
    that way in any case: a subnet router puts its own in its place, and the VPS passes TLS on without a word of who
    came. Should visitors' addresses ever matter there, it takes the PROXY protocol from the VPS on.
    """
    routed = any(settings.network.pools.ingress.first in route for route in settings.tailscale.routes)
    return "Cluster" if routed else "Local"
