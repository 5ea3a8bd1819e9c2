"""The edge layer: access to the cluster's names from the internet, through the public host of `edge_host.py`."""

from __future__ import annotations

from ipaddress import IPv4Address

import pulumi

from components.edge.headscale_routes import HeadscaleRoutes, HeadscaleRoutesArgs
from components.edge.router import EdgeRouter, EdgeRouterArgs
from components.edge.routing import Backend, Routing
from components.edge.secondary import EdgeSecondary, EdgeSecondaryArgs
from components.kit.ports import HTTP, HTTPS
from stacks.cluster import ClusterLayer
from stacks.dns import DnsLayer
from stacks.edge_host import EdgeHostLayer
from stacks.ingress import IngressLayer
from stacks.settings import model
from stacks.settings.model import Settings


def deploy(
    settings: Settings,
    *,
    edge_host: EdgeHostLayer,
    cluster: ClusterLayer,
    ingress: IngressLayer,
    dns: DnsLayer,
) -> None:
    """Route by server name to the ingress, and set up the domain's public secondary; nothing without an edge."""
    edge, reached = settings.edge, edge_host.reached
    if edge is None or reached is None:
        return
    after: list[pulumi.Resource] = [ingress.nginx.ready]
    if edge_host.tailnet is not None:
        routes = HeadscaleRoutes(
            "headscale-routes",
            HeadscaleRoutesArgs(
                tailnet=edge_host.tailnet, routers=list(settings.control_planes), routes=settings.tailscale.routes
            ),
            # The provider's kubeconfig is available once every node is up.
            opts=reached.opts(cluster.kubernetes),
        )
        after.append(routes.ready)
    web = [IPv4Address(ingress.nginx.address)]
    EdgeRouter(
        "edge-router",
        EdgeRouterArgs(
            host=reached.ssh,
            routing=Routing(
                cluster=settings.cluster.domain,
                ingress=Backend(web, HTTPS),
                ingress_http=Backend(web, HTTP),
                sites={name: _backend(site) for name, site in edge.sites.items()},
                otherwise=None if edge.otherwise is None else _backend(edge.otherwise),
                ipv6=edge.ipv6,
            ),
        ),
        opts=reached.opts(*after),
    )
    signed = dns.transfer_key
    EdgeSecondary(
        "edge-secondary",
        EdgeSecondaryArgs(
            host=reached.ssh,
            zone=dns.zone.domain,
            primaries=[IPv4Address(dns.powerdns.address)],
            notified_by=edge.secondary.notified_by,
            tsig=signed.key if signed else None,
        ),
        opts=reached.opts(*after, dns.zone.ready, *([signed.ready] if signed else [])),
    )


def _backend(backend: model.Backend) -> Backend:
    return Backend(backend.addresses, backend.port)
