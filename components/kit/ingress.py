"""An Ingress of one host name, all of whose paths lead to one Service.

Owns the form of every Ingress that the program makes, and how long the API server gets for one. Does not own which
exist, nor their annotations: each component says what passes at its own name. Must exist before: the ingress
controller and the namespace of the Service.
"""

from __future__ import annotations

from typing import Any

import pulumi

UNAWAITED = {"pulumi.com/skipAwait": "true"}
"""Annotation: an address in its status says nothing about the Service behind it, and nothing waits for it."""


def one_host(
    host: str,
    *,
    service: pulumi.Input[str],
    port: int,
    class_name: pulumi.Input[str],
    certificate: pulumi.Input[str] | None = None,
) -> dict[str, Any]:
    """Everything below `https://host/` goes to a Service of the Ingress's namespace.

    certificate: the Secret with that of the host; None for the controller's own.
    """
    backend = {"service": {"name": service, "port": {"number": port}}}
    tls: dict[str, Any] = {"hosts": [host]}
    if certificate is not None:
        tls["secretName"] = certificate
    return {
        "ingressClassName": class_name,
        "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        "tls": [tls],
    }


def timeouts() -> pulumi.CustomTimeouts:
    """How long the API server gets, whose admission may ask the controller's webhook."""
    return pulumi.CustomTimeouts(create="5m", update="5m", delete="2m")
