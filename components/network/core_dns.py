"""CoreDNS: the DNS of the pods, which knows some names of the site by the addresses that they have inside.

Owns the Helm release: the Deployment, its Corefile and the Service `kube-dns`, whose address the kubelet gives to every
pod. Does not own the machine setting that keeps Talos from making one of its own (`talos/config.py`), nor public names.
Must exist before: the pod network.

Why not Talos's CoreDNS: its Corefile is one text without a place for anything else, and nothing keeps a change to it.
Talos makes the ConfigMap once and leaves it alone at boots and upgrades (`manifest_apply.go`), but `talosctl
upgrade-k8s` writes its own again (`PerformManifestsSync`). What its Corefile asks is the nodes' resolver, and that
resolver cannot be told either: Talos's host DNS knows names of members only (`NodeHandler` in internal/pkg/dns), and
`extraHostEntries` are for programs on the node. https://github.com/siderolabs/talos/tree/v1.13.9 for all of these,
https://github.com/siderolabs/talos/issues/7019 for the wish.

Why names and not the public address itself: as an `externalIPs` of the ingress's Service, connections to it would end
at the ingress, but all of them, those to other services of the public host as well, Headscale among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.network_policy import Pods
from components.kit.ports import DNS
from components.kit.release import Release
from components.kit.scheduling import one_per_node
from components.kit.versions import COREDNS, COREDNS_SERVER

_NAMESPACE: Final = "kube-system"

PODS: Final = Pods(labels={"k8s-app": "kube-dns"}, namespace=_NAMESPACE)
"""The servers, under the label that they have everywhere: the chart's `k8sAppLabelOverride`."""

_TTL = 60
"""Seconds for which a pod may keep an inside address."""


@dataclass(frozen=True, kw_only=True)
class CoreDnsArgs:
    """Arguments of `CoreDns`.

    services: the network of Services; kubelets expect DNS at its tenth address.
    nodes: how many nodes there are; control planes count.
    domain: of the names of the site.
    inside: names by the address that they have for pods. Others of the domain are resolved as anywhere else.
    """

    charts: ChartSource
    services: IPv4Network
    nodes: int
    domain: str
    inside: Mapping[IPv4Address, Sequence[str]]

    def __post_init__(self) -> None:
        for name in (name for names in self.inside.values() for name in names):
            if name != self.domain and not name.endswith(f".{self.domain}"):
                raise ValueError(
                    f"inside: {name!r} is not in {self.domain}, so it would never be asked for here; omit it"
                )


class CoreDns(pulumi.ComponentResource):
    """DNS for pods."""

    ready: Release
    """Up when names resolve; pods that look anything up depend on it."""

    def __init__(self, name: str, args: CoreDnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:network:CoreDns", name, None, opts)
        configured: dict[str, Any] = values("coredns")
        configured["image"] = {"repository": COREDNS_SERVER.repository, "tag": COREDNS_SERVER.version}
        # `DNSServiceIPs` in pkg/machinery/config/types/v1alpha1/v1alpha1_clusterconfig.go of Talos.
        configured["service"]["clusterIP"] = str(args.services[10])
        configured["k8sAppLabelOverride"] = PODS.labels["k8s-app"]
        configured["replicaCount"] = min(2, args.nodes)
        configured["topologySpreadConstraints"] = one_per_node(PODS.labels)
        if args.inside:
            [everything] = configured["servers"]
            configured["servers"] = [everything, _site(args, everything["plugins"])]
        self.ready = args.charts.install(
            COREDNS, name, parent=self, name="coredns", namespace=_NAMESPACE, values=configured
        )
        self.register_outputs({"release": self.ready.name})


def _site(args: CoreDnsArgs, plugins: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The server block of the domain: the given names, and for the rest what also answers for the rest of the world."""
    hosts = [f"{address} {' '.join(names)}" for address, names in args.inside.items()]
    kept = [plugin for plugin in plugins if plugin["name"] in ("errors", "forward", "loadbalance")]
    return {
        "zones": [{"zone": f"{args.domain}.", "use_tcp": True}],
        "port": DNS,
        "plugins": [
            # A name that is listed has no IPv6 address; only one that is not goes on to the resolvers.
            {"name": "hosts", "configBlock": "\n".join([*hosts, f"ttl {_TTL}", "no_reverse", "fallthrough"])},
            *kept,
            {"name": "cache", "parameters": 30},
        ],
    }
