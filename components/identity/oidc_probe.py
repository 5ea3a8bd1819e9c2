"""Waits until Authentik answers for certain applications: the proof that their blueprints have been applied.

Owns one Job. Does not own what it asks for. A release says that pods are up; blueprints are applied after that, and
nothing in the cluster says when. So a Job asks what a client would ask first, and `up` waits for the Job rather than
for a fixed time.
Must exist before: Authentik, and the blueprints of the applications.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.identity.authentik import NAME, SERVER
from components.kit.kubernetes_object import Job
from components.kit.network_policy import Pods
from components.kit.references import SecretReference
from components.kit.restricted_pod import HEARS_TERM, container_security, pod_security
from components.kit.versions import AUTHENTIK_SERVER

SCRIPT: Final = Path(__file__).with_name("oidc_probe_script.py")
_AUTHORITY: Final = "/authority"

PODS: Final = Pods(labels={"app.kubernetes.io/component": "oidc-probe"})
"""The pods of every probe, some of which call a server without the ingress."""


@dataclass(frozen=True, kw_only=True)
class OidcProbeArgs:
    """Arguments of `OidcProbe`.

    issuers: the issuer URLs that the answers must state.
    through_ingress: ask as a client would, at the public address with its certificate, rather than asking the servers
        directly.
    addresses: address by host name, for hosts that DNS may not know yet.
    authority: the CA that the certificate is verified with; None for the public CAs.
    """

    issuers: Sequence[str]
    through_ingress: bool = False
    addresses: Mapping[str, str] = field(default_factory=dict)
    authority: SecretReference | None = None

    def __post_init__(self) -> None:
        if not self.issuers:
            raise ValueError("issuers: none, so nothing would be waited for; name one")
        if wrong := [issuer for issuer in self.issuers if not (issuer.startswith("https://") and issuer.endswith("/"))]:
            raise ValueError(f"issuers: {wrong[0]!r}; Authentik names itself by an https:// URL that ends in a slash")
        if self.authority and self.authority.namespace != NAME:
            raise ValueError(
                f"authority: is in namespace {self.authority.namespace!r}, and the Job in {NAME!r}; copy it"
            )


class OidcProbe(pulumi.ComponentResource):
    """An answer of Authentik for each of the applications."""

    ready: Job
    """Complete when all answer."""

    def __init__(self, name: str, args: OidcProbeArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:identity:OidcProbe", name, None, opts)
        self.ready = Job(
            name,
            # A generated name: a Job's template is immutable, so a new Job takes the place of the old one.
            metadata=ObjectMetaArgs(namespace=NAME, labels={"app.kubernetes.io/name": name}),
            spec={
                "backoffLimit": 2,
                "activeDeadlineSeconds": 900,
                "template": {
                    "metadata": {"labels": {"app.kubernetes.io/name": name, **PODS.labels}},
                    "spec": _pod(args),
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self, custom_timeouts=pulumi.CustomTimeouts(create="18m", update="18m", delete="2m")
            ),
        )
        self.register_outputs({"ready": self.ready.id})


def _pod(args: OidcProbeArgs) -> dict[str, Any]:
    address = "-" if args.through_ingress else f"http://{SERVER}.{NAME}.svc"
    container: dict[str, Any] = {
        "name": "probe",
        # Its nodes have this image already.
        "image": AUTHENTIK_SERVER.reference,
        "command": ["python", "-c", SCRIPT.read_text(encoding="utf-8"), address, *args.issuers],
        "securityContext": container_security(),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "shareProcessNamespace": HEARS_TERM,
        "automountServiceAccountToken": False,
        "securityContext": pod_security(1000),
        "containers": [container],
    }
    if args.addresses:
        pod["hostAliases"] = [{"ip": ip, "hostnames": [host]} for host, ip in sorted(args.addresses.items())]
    if args.authority:
        container["env"] = [{"name": "SSL_CERT_FILE", "value": f"{_AUTHORITY}/{args.authority.key}"}]
        container["volumeMounts"] = [{"name": "authority", "mountPath": _AUTHORITY, "readOnly": True}]
        items = [{"key": args.authority.key, "path": args.authority.key}]
        pod["volumes"] = [{"name": "authority", "secret": {"secretName": args.authority.name, "items": items}}]
    return pod
