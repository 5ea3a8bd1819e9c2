"""Vault's pages and API at a public name, for people; workloads use its Service.

Owns the certificate of that name and the Ingress. Does not own Vault.
Must exist before: Vault, the ingress controller, an issuer.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.networking.v1 import Ingress

from components.certificate import Certificate, CertificateArgs
from components.nginx_ingress import NginxIngress
from components.references import IssuerReference
from components.vault import Vault
from components.vault_resource import API_PORT


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
    """Vault under a name of its own."""

    ingress: Ingress

    def __init__(self, name: str, args: VaultEntryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:VaultEntry", name, None, opts)
        place = args.vault.resource
        certificate = Certificate(
            f"{name}-certificate",
            CertificateArgs(namespace=place.namespace, secret_name=name, dns_names=[args.host], issuer=args.issuer),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ingress = Ingress(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                namespace=place.namespace,
                # Vault speaks HTTPS; its certificate is the cluster's own, which NGINX does not check.
                annotations={"nginx.org/ssl-services": place.name},
            ),
            spec={
                "ingressClassName": args.ingress.class_name,
                "rules": [
                    {
                        "host": args.host,
                        "http": {
                            "paths": [
                                {
                                    "path": "/",
                                    "pathType": "Prefix",
                                    "backend": {"service": {"name": place.name, "port": {"number": API_PORT}}},
                                }
                            ]
                        },
                    }
                ],
                "tls": [{"hosts": [args.host], "secretName": certificate.certificate.name}],
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.vault.ready, args.ingress.release, certificate],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
            ),
        )
        self.register_outputs({"host": args.host})
