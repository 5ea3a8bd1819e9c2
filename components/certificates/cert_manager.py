"""cert-manager: certificates as objects of the cluster, renewed automatically.

Owns the namespace and the Helm release with the custom resource definitions. Does not own issuers: the cluster's own CA
is `cluster_ca.py`, and those that need a public name come with DNS. Must exist before: the pod network.

Before it lets an ACME server look for a challenge, it checks itself: it asks resolvers for the zone and its public name
servers, and those for the record, as the ACME server will. A network whose resolver answers for the public zone with
names of its own (split horizon) would make it look in the wrong zone forever; it is then given resolvers that answer
as public ones do. There is a flag to ask resolvers for the record as well, which is not set: they cache for a
while that a record did not exist, and do not show that the secondary lacks one.

An Ingress with `kubernetes.io/tls-acme: "true"` gets its certificate from the default issuer, so that it need not know
whether this cluster uses staging.

Controller, webhook and cainjector have two replicas where two nodes can hold them: one active, one on standby. Without
the webhook nobody can create a Certificate, so a drained node must not take it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.ports import DNS
from components.kit.release import Release
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import CERT_MANAGER

API = "cert-manager.io/v1"

SERVICE_ACCOUNT = "cert-manager"
"""The controller's account; the chart names it after the release."""


@dataclass(frozen=True, kw_only=True)
class CertManagerArgs:
    """Arguments of `CertManager`.

    schedulable: how many nodes take ordinary pods.
    resolvers: which resolvers it asks for public names; if empty, those of the nodes.
    default_issuer: ClusterIssuer for an Ingress that asks for a certificate without naming an issuer.
    """

    charts: ChartSource
    schedulable: int
    resolvers: Sequence[IPv4Address] = ()
    default_issuer: str | None = None


class CertManager(pulumi.ComponentResource):
    """The certificate controller of the cluster."""

    namespace: str
    """Where the keys of ClusterIssuers are looked for."""

    ready: Release
    """Up when the API server can reach the webhook; objects of cert-manager depend on it."""

    def __init__(self, name: str, args: CertManagerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:certificates:CertManager", name, None, opts)
        self.namespace = "cert-manager"
        namespace = make_namespace(f"{name}-namespace", self.namespace, "restricted", parent=self)
        configured: dict[str, Any] = values("cert-manager")
        if args.resolvers:
            configured["dns01RecursiveNameservers"] = ",".join(f"{address}:{DNS}" for address in args.resolvers)
        if args.default_issuer:
            configured["ingressShim"] = {
                "defaultIssuerName": args.default_issuer,
                "defaultIssuerKind": "ClusterIssuer",
                "defaultIssuerGroup": "cert-manager.io",
            }
        for component, tree in (
            ("controller", configured),
            ("webhook", configured["webhook"]),
            ("cainjector", configured["cainjector"]),
        ):
            tree["replicaCount"] = replicas(args.schedulable)
            tree["topologySpreadConstraints"] = one_per_node(
                {"app.kubernetes.io/instance": "cert-manager", "app.kubernetes.io/component": component}
            )
        self.ready = args.charts.install(
            CERT_MANAGER, name, parent=self, name="cert-manager", namespace=namespace.metadata.name, values=configured
        )
        self.register_outputs({"namespace": self.namespace, "release": self.ready.name})
