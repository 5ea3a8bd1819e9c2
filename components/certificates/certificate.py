"""A certificate for one workload, in a Secret that cert-manager fills and renews.

Owns the Certificate. cert-manager owns the Secret: Pulumi never sees the key. Does not own the workload, nor its
restart at a renewal: whoever reads its files once at start calls `reloader.restart_on`.
Must exist before: the issuer, which is an argument, and the namespace, on which the caller's options depend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.certificates.cert_manager import API
from components.kit.readiness import READY
from components.kit.references import IssuerReference, SecretReference

Usage = Literal["server auth", "client auth"]

_TEMPORARY = {"cert-manager.io/issue-temporary-certificate": "true"}
"""https://cert-manager.io/docs/usage/certificate/#temporary-certificates-while-issuing"""

_NAME = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """Arguments of `Certificate`.

    namespace: where the workload and its Secret are.
    secret_name: name of the Secret.
    dns_names: the names that the certificate is for; the first one is shown as its name.
    ip_addresses: addresses by which clients reach the workload, such as 127.0.0.1.
    duration: how long a certificate is valid; a public CA may grant less.
    renew_before: how long before expiry the next one is requested.
    usages: what it may be used for.
    secret_labels: labels of the Secret, for consumers that select it by label.
    temporary: whether the Secret has a certificate that nobody trusts until the issuer has issued the first one, which
        may be made later than this; for a workload that does not start without the Secret. It appears moments after
        the Certificate. A certificate that was issued is never replaced by another temporary one.
    """

    namespace: str
    secret_name: str
    dns_names: Sequence[str]
    issuer: IssuerReference
    ip_addresses: Sequence[str] = ()
    duration: timedelta = timedelta(days=90)
    renew_before: timedelta = timedelta(days=30)
    usages: Sequence[Usage] = ("server auth",)
    secret_labels: Mapping[str, str] = field(default_factory=dict)
    temporary: bool = False

    def __post_init__(self) -> None:
        if not self.dns_names or not self.usages:
            raise ValueError(f"{self.secret_name}: dns_names and usages must each name at least one")
        for name in self.dns_names:
            if not _NAME.fullmatch(name) or len(name) > 253:
                raise ValueError(f"{self.secret_name}: {name!r} is not a DNS name; write it in lower case, as a.b.org")
        # MinimumCertificateDuration and MinimumRenewBefore of cert-manager, pkg/apis/certmanager/v1/const.go
        if self.duration < timedelta(hours=1) or not timedelta(minutes=5) <= self.renew_before < self.duration:
            raise ValueError(
                f"{self.secret_name}: valid for {self.duration} and renewed {self.renew_before} before it expires; "
                "cert-manager requires at least an hour, and a renewal at least 5 minutes before expiry"
            )


class Certificate(pulumi.ComponentResource):
    """A certificate; what depends on `ready` finds the Secret filled, if the issuer's certificates are awaited."""

    certificate: SecretReference
    """`tls.crt`: the certificate, followed by any intermediate ones."""

    key: SecretReference
    """`tls.key`: its private key."""

    ca: SecretReference
    """`ca.crt`: the CA's certificate; empty with a public CA."""

    awaited: bool
    """Whether `ready` means that the Secret holds a valid certificate, rather than that one was requested."""

    ready: CustomResource
    """Ready when the Secret holds a valid certificate, if that is awaited."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:certificates:Certificate", name, None, opts)
        spec: dict[str, Any] = {
            "secretName": args.secret_name,
            "dnsNames": list(args.dns_names),
            "duration": _hours(args.duration),
            "renewBefore": _hours(args.renew_before),
            "usages": ["digital signature", *args.usages],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": args.issuer.spec,
        }
        if args.ip_addresses:
            spec["ipAddresses"] = list(args.ip_addresses)
        if args.secret_labels:
            spec["secretTemplate"] = {"labels": dict(args.secret_labels)}
        self.awaited = args.issuer.awaited
        annotations = {**(READY if self.awaited else {}), **(_TEMPORARY if args.temporary else {})}
        self.ready = CustomResource(
            name,
            api_version=API,
            kind="Certificate",
            metadata=ObjectMetaArgs(name=args.secret_name, namespace=args.namespace, annotations=annotations or None),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.issuer.ready],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
            ),
        )
        self.certificate, self.key, self.ca = (
            SecretReference(namespace=args.namespace, name=args.secret_name, key=key, ready=self.ready)
            for key in ("tls.crt", "tls.key", "ca.crt")
        )
        self.register_outputs({"secret": f"{args.namespace}/{args.secret_name}"})


def _hours(time: timedelta) -> str:
    """Go's form of a duration, as cert-manager writes it back: hours, minutes and seconds."""
    seconds = int(time.total_seconds())
    return f"{seconds // 3600}h{seconds % 3600 // 60}m{seconds % 60}s"
