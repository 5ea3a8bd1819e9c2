"""The ingress layer: HTTP from outside by host name, and certificates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from components.certificates.acme import issuer_name
from components.certificates.cert_manager import CertManager, CertManagerArgs
from components.certificates.certificate import Certificate, CertificateArgs
from components.certificates.cluster_ca import ClusterCa, ClusterCaArgs
from components.kit.chart import ChartSource
from components.kit.references import IssuerReference, SecretReference
from components.network.nginx_ingress import SERVICE, NginxIngress, NginxIngressArgs
from stacks.network import NetworkLayer
from stacks.settings.model import Settings

_CLUSTER_CA = "cluster-ca"
"""Name of the cluster's own authority, and of its ClusterIssuer."""


@dataclass(frozen=True)
class IngressLayer:
    """What later layers need from the ingress and certificates."""

    nginx: NginxIngress
    cert_manager: CertManager
    ca: ClusterCa


def deploy(settings: Settings, *, network: NetworkLayer) -> IngressLayer:
    """Deploy cert-manager with the cluster's own CA, and NGINX on the ingress address with a wildcard certificate."""
    charts = ChartSource(settings.charts.mirror)
    cert_manager = CertManager(
        "cert-manager",
        CertManagerArgs(
            charts=charts,
            schedulable=settings.schedulable,
            resolvers=settings.certificates.resolvers,
            default_issuer=_default_issuer(settings),
        ),
        opts=network.inside(),
    )
    ca = ClusterCa(
        _CLUSTER_CA,
        ClusterCaArgs(cert_manager=cert_manager, common_name=f"{settings.cluster.name} cluster CA"),
        opts=network.inside(),
    )
    nginx = NginxIngress(
        "nginx-ingress",
        NginxIngressArgs(
            charts=charts,
            schedulable=settings.schedulable,
            address=network.ingress_pool.claim(SERVICE),
            traffic=_traffic(settings),
            public_address=settings.public_address,
            wildcard=_wildcard(settings, cert_manager, ca, network=network),
        ),
        opts=network.inside(),
    )
    return IngressLayer(nginx, cert_manager, ca)


def _default_issuer(settings: Settings) -> str:
    """Of an Ingress that asks for a certificate without naming an issuer."""
    return issuer_name(settings.certificates.staging, "dns") if settings.certificates.acme else _CLUSTER_CA


def _wildcard(
    settings: Settings, cert_manager: CertManager, ca: ClusterCa, *, network: NetworkLayer
) -> SecretReference:
    """The certificate for the domain and every name one label below it, in cert-manager's namespace.

    Let's Encrypt's issuer comes much later, with DNS, and public DNS later still, so that it begins with a temporary
    certificate then.
    """
    domain, acme = settings.cluster.domain, settings.certificates.acme
    certificate = Certificate(
        "wildcard",
        CertificateArgs(
            namespace=cert_manager.namespace,
            secret_name="wildcard-tls",  # noqa: S106
            dns_names=[domain, f"*.{domain}"],
            issuer=IssuerReference(name=_default_issuer(settings), ready=cert_manager.ready, awaited=False)
            if acme
            else ca.issuer,
            temporary=acme,
        ),
        opts=network.inside(),
    )
    return certificate.certificate


def _traffic(settings: Settings) -> Literal["Cluster", "Local"]:
    """`Local`, which keeps the client's address, unless nodes route to the ingress address for the tailnet.

    Such a node handles packets for the address itself, whether or not it runs a replica. The client's address is lost
    on that path in any case: a subnet router replaces it with its own, and the VPS forwards TLS without saying where
    the connection came from. Keeping it there would need the PROXY protocol from the VPS onwards.
    """
    routed = any(settings.network.pools.ingress.first in route for route in settings.tailscale.routes)
    return "Cluster" if routed else "Local"
