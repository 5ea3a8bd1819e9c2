"""The ingress controller: HTTP and HTTPS from outside, by host name, to the Services of the cluster.

Owns the namespace, the Helm release of F5's NGINX Ingress Controller, the class `nginx` (the default one) and the
Service that has the ingress address. Does not own Ingress objects, their certificates, or the address pool.
Must exist before: the pool's announcement, which comes with the address, and the wildcard certificate's object.

An Ingress that lists hosts under `tls` without a Secret is served with the wildcard certificate. The controller does
not start without its Secret (`processWildcardSecret` in cmd/nginx-ingress/main.go of v5.5.4), and takes a new content
of it without a restart. So the Secret must have a certificate, any certificate, before a public one can be had: pods
that start in the moment before it appears are started again.

An ACME HTTP-01 challenge needs more than port 80: this controller gives a host to the oldest Ingress that names
it, and refuses the one that cert-manager makes for the challenge ("All hosts are taken by other resources"). With
`http01_annotations`, an Ingress lets cert-manager add the challenge's path to it, and has a temporary certificate
in the meantime, so that the redirect to HTTPS, which Let's Encrypt follows, works.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Literal

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.network_policy import Pods
from components.kit.references import SecretReference, ServiceAddress
from components.kit.release import Release
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import NGINX_INGRESS

SERVICE = "nginx-ingress/nginx-ingress-controller"
"""The Service that has the address, as namespace/name."""

PODS = Pods(
    labels={"app.kubernetes.io/name": "nginx-ingress", "app.kubernetes.io/instance": "nginx-ingress"},
    namespace=SERVICE.partition("/")[0],
)
"""The replicas, for what they pass requests on to."""


@dataclass(frozen=True, kw_only=True)
class NginxIngressArgs:
    """Arguments of `NginxIngress`.

    schedulable: how many nodes take ordinary pods.
    address: the address of `SERVICE`.
    traffic: which nodes accept connections to the address. `Local`: only those with a replica; the client's address is
        preserved, and layer 2 announces from such a node. `Cluster`: every node, but the client's address is lost: it
        becomes the node's. Where packets for the address come in through a node that routes for others,
        that node may have no replica, and only `Cluster` lets it pass them on.
    public_address: where the internet reaches the ingress, if not at `address` itself: a host that forwards
        connections. Every Ingress reports it as its own address, so its name resolves to it.
    wildcard: the certificate for an Ingress that names no Secret.
    """

    charts: ChartSource
    schedulable: int
    address: ServiceAddress
    traffic: Literal["Cluster", "Local"]
    wildcard: SecretReference
    public_address: IPv4Address | None = None

    def __post_init__(self) -> None:
        if self.address.address is None:
            raise ValueError(
                f"address: MetalLB would choose one of {self.address.pool}, but DNS must know it beforehand; claim one"
            )


class NginxIngress(pulumi.ComponentResource):
    """The entry point to the cluster for HTTP and HTTPS."""

    class_name: str
    """`ingressClassName` of an Ingress; one without it gets this class too."""

    address: str
    """IPv4 address at which HTTP and HTTPS are answered."""

    http01_annotations: Mapping[str, str]
    """For an Ingress whose certificate is issued by HTTP-01; one host per Ingress, as cert-manager issue 5048 says."""

    ready: Release
    """Up when the address is announced and the replicas answer; an Ingress depends on it."""

    def __init__(self, name: str, args: NginxIngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:ingress:NginxIngress", name, None, opts)
        self.class_name = "nginx"
        self.address = str(args.address.address)
        self.http01_annotations = {"acme.cert-manager.io/http01-edit-in-place": "true"}
        namespace = make_namespace(f"{name}-namespace", SERVICE.partition("/")[0], "restricted", parent=self)
        configured: dict[str, Any] = values("nginx-ingress")
        controller = configured["controller"]
        controller["replicaCount"] = replicas(args.schedulable)
        controller["topologySpreadConstraints"] = one_per_node(PODS.labels)
        controller["wildcardTLS"] = {"secret": f"{args.wildcard.namespace}/{args.wildcard.name}"}
        controller["ingressClass"] = {"name": self.class_name, "create": True, "setAsDefaultIngress": True}
        if args.public_address:
            controller["config"]["entries"]["external-status-address"] = str(args.public_address)
        controller["service"] = {
            "annotations": args.address.annotations,
            "externalTrafficPolicy": args.traffic,
        }
        self.ready = args.charts.install(
            NGINX_INGRESS,
            name,
            parent=self,
            name="nginx-ingress",
            namespace=namespace.metadata.name,
            values=configured,
            depends_on=[args.address.ready, args.wildcard.ready],
            skip_crds=True,
        )
        self.register_outputs({"class_name": self.class_name, "address": self.address, "release": self.ready.name})
