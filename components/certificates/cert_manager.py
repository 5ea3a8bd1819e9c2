"""cert-manager: certificates as objects of the cluster, renewed by themselves.

Owns the namespace and the Helm release with the custom resource definitions. Does not own issuers: the cluster's own CA
is `cluster_ca.py`, and those that need a public name come with DNS. Must exist before: the pod network.

Before it lets an ACME server look for a challenge, it looks itself: it asks resolvers for the zone and its public name
servers, and these for the record, as the ACME server will. A network whose resolver answers for the public zone with
names of its own (split horizon) would make it look in the wrong zone for ever; it is then given resolvers that answer
as the world's do. There is a flag to ask resolvers for the record as well, which it is not given: they remember for a
while that a record was not there, and do not show one that the secondary lacks.

An Ingress with `kubernetes.io/tls-acme: "true"` has its certificate from the default issuer, so that it need not know
whether this cluster is for tries.

Controller, webhook and cainjector run twice where two nodes can hold them: one works, the other stands by. Without the
webhook nobody can make a Certificate, so a drained node must not take it away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.ports import DNS
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import CERT_MANAGER

API = "cert-manager.io/v1"

SERVICE_ACCOUNT = "cert-manager"
"""The controller's account; the chart names it after the release."""

READY = {"pulumi.com/waitFor": "condition=Ready"}
"""Annotations of an object of cert-manager after which it is what it promises: an issuer issues, a Secret is filled."""


@dataclass(frozen=True, kw_only=True)
class CertManagerArgs:
    """Arguments of `CertManager`.

    schedulable: how many nodes take ordinary pods.
    resolvers: which resolvers it asks for public names; none are those of the nodes.
    default_issuer: ClusterIssuer of an Ingress that names none and asks for a certificate.
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
        configured["global"]["leaderElection"]["namespace"] = self.namespace
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
