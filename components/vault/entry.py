"""Vault's UI and API at a public name, for people; workloads use its Service.

Owns the certificate of that name and the Ingress. Does not own Vault.
Must exist before: Vault, the ingress controller, an issuer.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.certificates.acme import SOLVERS
from components.certificates.certificate import Certificate, CertificateArgs
from components.kit import ingress
from components.kit.kubernetes_object import Ingress
from components.kit.network_policy import open_to
from components.kit.references import IssuerReference
from components.network.nginx_ingress import NginxIngress
from components.vault.resource import API_PORT
from components.vault.vault import Vault


@dataclass(frozen=True, kw_only=True)
class VaultEntryArgs:
    """Arguments of `VaultEntry`.

    host: the name.
    """

    vault: Vault
    host: str
    ingress: NginxIngress
    issuer: IssuerReference


class VaultEntry(pulumi.ComponentResource):
    """Vault at a host name of its own."""

    ingress: Ingress

    def __init__(self, name: str, args: VaultEntryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:VaultEntry", name, None, opts)
        place = args.vault.resource
        certificate = Certificate(
            f"{name}-certificate",
            CertificateArgs(namespace=place.namespace, secret_name=name, dns_names=[args.host], issuer=args.issuer),
            # The name of a namespace does not wait for it; Vault does.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.vault.ready]),
        )
        open_to(name, [SOLVERS], args.vault.namespace, parent=self)
        self.ingress = Ingress(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                namespace=place.namespace,
                annotations={
                    # Vault speaks HTTPS; its certificate is the cluster's own, which NGINX does not check.
                    "nginx.org/ssl-services": place.name,
                    **ingress.UNAWAITED,
                },
            ),
            spec=ingress.one_host(
                args.host,
                service=place.name,
                port=API_PORT,
                class_name=args.ingress.class_name,
                certificate=certificate.certificate.name,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.vault.ready, args.ingress.ready, certificate],
                custom_timeouts=ingress.timeouts(),
            ),
        )
        self.register_outputs({"host": args.host})
