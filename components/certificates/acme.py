"""Publicly trusted certificates: Let's Encrypt issuers, for production and staging.

Owns four ClusterIssuers: production and staging, each by DNS-01 (any name in the zone, wildcards included) and by
HTTP-01 (one name at a time, through port 80 of the ingress). Does not own certificates. Must exist before:
cert-manager, the DNS-01 webhook and the ingress controller.

Which of them the program uses is a setting: Let's Encrypt issues five certificates a week for the same names, and
a destroyed cluster takes its certificates with it. Staging issues thousands, which no browser trusts.

An issuer exists before its ACME account does: whether Let's Encrypt can be reached is not up to the cluster, and must
not delay what is. Nor does `up` wait for their certificates (`IssuerReference.awaited`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.certificates.cert_manager import API, CertManager
from components.certificates.dns01_webhook import Dns01Webhook
from components.kit.network_policy import Access
from components.kit.references import IssuerReference
from components.network import nginx_ingress
from components.network.nginx_ingress import NginxIngress

Environment = Literal["prod", "staging"]
Challenge = Literal["dns", "http"]

DIRECTORIES: Final[dict[Environment, str]] = {
    "prod": "https://acme-v02.api.letsencrypt.org/directory",
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
}
"""https://letsencrypt.org/docs/acme-protocol-updates/ and https://letsencrypt.org/docs/staging-environment/"""

SOLVERS: Final = Access(
    name="http01-solvers",
    to={"acme.cert-manager.io/http01-solver": "true"},
    ports=[8089],
    callers=[nginx_ingress.PODS],
)
"""What a closed namespace needs for a certificate by HTTP-01: cert-manager runs a pod there that answers the challenge.
Label and port: pkg/issuer/acme/http of cert-manager."""


def issuer_name(staging: bool, challenge: Challenge) -> str:
    """Name of a ClusterIssuer, such as letsencrypt-prod-dns."""
    return f"letsencrypt-{_environment(staging)}-{challenge}"


@dataclass(frozen=True, kw_only=True)
class AcmeIssuersArgs:
    """Arguments of `AcmeIssuers`.

    email: where Let's Encrypt writes to about the account; None for nowhere.
    staging: whether to hand out the staging issuers instead of the production ones.
    """

    cert_manager: CertManager
    webhook: Dns01Webhook
    nginx: NginxIngress
    email: str | None
    staging: bool


class AcmeIssuers(pulumi.ComponentResource):
    """The issuers; all four always exist, so that any of their names in a manifest is valid."""

    public: IssuerReference
    """By DNS-01, for any name of the zone."""

    public_http: IssuerReference
    """By HTTP-01, for an Ingress of one host whose name points to the ingress."""

    def __init__(self, name: str, args: AcmeIssuersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:certificates:AcmeIssuers", name, None, opts)
        http = {"http01": {"ingress": {"ingressClassName": args.nginx.class_name}}}
        solvers: dict[Challenge, tuple[dict[str, Any], list[pulumi.Resource]]] = {
            "dns": (args.webhook.solver, [args.webhook.ready]),
            "http": (http, [args.nginx.ready]),
        }
        made = {
            issuer_name(staging, challenge): self._issuer(args, staging, challenge, solver, after)
            for staging in (False, True)
            for challenge, (solver, after) in solvers.items()
        }
        dns, by_http = (issuer_name(args.staging, challenge) for challenge in solvers)
        self.public = IssuerReference(name=dns, ready=made[dns], awaited=False)
        self.public_http = IssuerReference(
            name=by_http, ready=made[by_http], awaited=False, ingress_annotations=args.nginx.http01_annotations
        )
        self.register_outputs({"public": self.public.name, "public_http": self.public_http.name})

    def _issuer(
        self,
        args: AcmeIssuersArgs,
        staging: bool,
        challenge: Challenge,
        solver: dict[str, Any],
        after: list[pulumi.Resource],
    ) -> CustomResource:
        name = issuer_name(staging, challenge)
        acme: dict[str, Any] = {
            "server": DIRECTORIES[_environment(staging)],
            # The account's key; one for each issuer, made in the cluster.
            "privateKeySecretRef": {"name": name},
            "solvers": [solver],
        }
        return CustomResource(
            name,
            api_version=API,
            kind="ClusterIssuer",
            metadata=ObjectMetaArgs(name=name),
            spec={"acme": acme | ({"email": args.email} if args.email else {})},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.cert_manager.ready, *after],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
            ),
        )


def _environment(staging: bool) -> Environment:
    return "staging" if staging else "prod"
