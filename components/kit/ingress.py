"""An Ingress of one host name, all of whose paths lead to one Service.

Owns the form of every Ingress that the program makes, and how long the API server gets for one. Does not own which
exist, nor their annotations: each component says what passes at its own name. Must exist before: the ingress
controller and the namespace of the Service.
"""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.networking.v1 import (
    HTTPIngressPathArgs,
    HTTPIngressRuleValueArgs,
    IngressBackendArgs,
    IngressRuleArgs,
    IngressServiceBackendArgs,
    IngressSpecArgs,
    IngressTLSArgs,
    ServiceBackendPortArgs,
)

UNAWAITED = {"pulumi.com/skipAwait": "true"}
"""Annotation: an address in its status says nothing about the Service behind it, and nothing waits for it."""


def one_host(
    host: str,
    *,
    service: pulumi.Input[str],
    port: int,
    class_name: pulumi.Input[str],
    certificate: pulumi.Input[str] | None = None,
) -> IngressSpecArgs:
    """Everything below `https://host/` goes to a Service of the Ingress's namespace.

    certificate: the Secret with that of the host; None for the controller's own.
    """
    backend = IngressServiceBackendArgs(name=service, port=ServiceBackendPortArgs(number=port))
    path = HTTPIngressPathArgs(path="/", path_type="Prefix", backend=IngressBackendArgs(service=backend))
    return IngressSpecArgs(
        ingress_class_name=class_name,
        rules=[IngressRuleArgs(host=host, http=HTTPIngressRuleValueArgs(paths=[path]))],
        tls=[IngressTLSArgs(hosts=[host], secret_name=certificate)],
    )


def timeouts() -> pulumi.CustomTimeouts:
    """How long the API server gets, whose admission may ask the controller's webhook."""
    return pulumi.CustomTimeouts(create="5m", update="5m", delete="2m")
