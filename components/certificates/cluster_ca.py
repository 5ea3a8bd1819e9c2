"""The cluster's own certificate authority: certificates for traffic inside the cluster, without DNS or internet.

Owns a self-signed issuer, the CA's certificate that it signs once, and the ClusterIssuer that signs with that.
Does not own the certificates issued; those are `certificate.py`. Must exist before: cert-manager's release.

The CA's key is a Secret in cert-manager's namespace, made in the cluster and known to nobody else: it is gone with the
cluster, and the next cluster has another. A client that must trust it reads `ca.crt` beside its own certificate.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.certificates.cert_manager import API, CertManager
from components.kit.readiness import READY
from components.kit.references import IssuerReference

TEN_YEARS = "87600h0m0s"
"""cert-manager renews the certificate after two thirds of this time."""


@dataclass(frozen=True, kw_only=True)
class ClusterCaArgs:
    """Arguments of `ClusterCa`.

    common_name: the subject's common name in the CA's certificate.
    """

    cert_manager: CertManager
    common_name: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.common_name) <= 64:
            raise ValueError(f"common_name: {self.common_name!r} must have 1 to 64 characters, as X.509 demands")


class ClusterCa(pulumi.ComponentResource):
    """A CA for use inside the cluster; its ClusterIssuer has the component's name."""

    issuer: IssuerReference
    """Signs certificates for any namespace."""

    def __init__(self, name: str, args: ClusterCaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:certificates:ClusterCa", name, None, opts)
        namespace = args.cert_manager.namespace
        # Namespaced rather than cluster-wide: it signs this one certificate and nothing else.
        bootstrap = CustomResource(
            f"{name}-bootstrap",
            api_version=API,
            kind="Issuer",
            metadata=ObjectMetaArgs(name=f"{name}-bootstrap", namespace=namespace, annotations=READY),
            spec={"selfSigned": {}},
            opts=self._after(args.cert_manager.ready),
        )
        certificate = CustomResource(
            f"{name}-certificate",
            api_version=API,
            kind="Certificate",
            metadata=ObjectMetaArgs(name=name, namespace=namespace, annotations=READY),
            spec={
                "secretName": name,
                "isCA": True,
                "commonName": args.common_name,
                "duration": TEN_YEARS,
                "usages": ["cert sign", "crl sign"],
                # The key survives renewal, so that clients trusting the old certificate trust what the new one signs.
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
                "issuerRef": IssuerReference(name=f"{name}-bootstrap", kind="Issuer", ready=bootstrap).spec,
            },
            opts=self._after(args.cert_manager.ready, bootstrap),
        )
        authority = CustomResource(
            name,
            api_version=API,
            kind="ClusterIssuer",
            metadata=ObjectMetaArgs(name=name, annotations=READY),
            spec={"ca": {"secretName": name}},
            opts=self._after(args.cert_manager.ready, certificate),
        )
        self.issuer = IssuerReference(name=name, ready=authority)
        self.register_outputs({"issuer": self.issuer.name})

    def _after(self, *earlier: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=earlier,
            custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
        )
