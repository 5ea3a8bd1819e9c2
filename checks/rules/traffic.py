"""Traffic: what comes to an address reaches a pod, whichever node it comes through."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from checks.model.objects import Object, mapping
from checks.model.platform import Platform
from checks.rules.network import WANTED, address_range
from checks.rules.rule import Finding, finding, rule


@rule(
    "local-traffic",
    title="A Service that keeps traffic on its node has a pod on each, if its address is routed to",
    why="Who comes by a route enters at a node that may have no pod, and gets no answer: connections time out.",
    remedy="Set externalTrafficPolicy: Cluster, or run a DaemonSet.",
)
def local(platform: Platform) -> Iterator[Finding]:
    """Services with externalTrafficPolicy Local, a routed address, and fewer pods than nodes."""
    nodes = len(mapping(platform.settings.get("nodes")))
    for service in platform.of_kind("", "Service"):
        if service.spec.get("externalTrafficPolicy") != "Local":
            continue
        route = _route_to(platform, service)
        wanted = mapping(service.spec.get("selector"))
        for pods in platform.pods if route and wanted else ():
            chosen = pods.of.namespace == service.namespace and wanted.items() <= pods.labels.items()
            if chosen and pods.of.kind != "DaemonSet" and pods.replicas < nodes:
                problem = f"is Local, {pods.of} has {pods.replicas} pods for {nodes} nodes, and tailscale.routes has "
                yield finding(service, "spec.externalTrafficPolicy", f"{problem}{route}", service.where)


def _route_to(platform: Platform, service: Object) -> str:
    """The advertised route that leads to a Service's address, or to an address that it may get."""
    asked = next((str(service.annotations[key]) for key in WANTED if service.annotations.get(key)), "")
    asked = asked or str(service.spec.get("loadBalancerIP") or "")
    pool = str(service.annotations.get("metallb.io/address-pool") or "")
    addresses = [IPv4Address(part.strip()) for part in asked.split(",") if part.strip()]
    if not addresses:
        pools = [one for one in platform.of_kind("metallb.io", "IPAddressPool") if pool in ("", one.name)]
        addresses = [address_range(str(text))[0] for one in pools for text in one.spec.get("addresses") or []]
    for text in mapping(platform.settings.get("tailscale")).get("routes") or []:
        if any(address in IPv4Network(str(text), strict=False) for address in addresses):
            return str(text)
    return ""
