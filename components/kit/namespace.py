"""A namespace with the Pod Security level that its pods need, and no more.

Owns the form of every namespace that the program makes. Does not own their number: each component makes its own.
Talos enforces `baseline` where a namespace says nothing (except in kube-system); here every namespace says.
"""

from __future__ import annotations

from typing import Literal

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

PodSecurity = Literal["restricted", "baseline", "privileged"]
"""A level of the Pod Security Standards: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""

_LABEL = "pod-security.kubernetes.io"


def make_namespace(logical_name: str, name: str, security: PodSecurity, *, parent: pulumi.Resource) -> Namespace:
    """The namespace `name`, in which the API server refuses pods that want more than `security`."""
    labels = {f"{_LABEL}/{mode}": security for mode in ("enforce", "audit", "warn")}
    return Namespace(
        logical_name,
        metadata=ObjectMetaArgs(name=name, labels=labels),
        opts=pulumi.ResourceOptions(
            parent=parent,
            # A namespace with something in it that nobody takes away would be waited for without end.
            custom_timeouts=pulumi.CustomTimeouts(create="2m", delete="5m"),
        ),
    )
