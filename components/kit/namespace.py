"""A namespace with the Pod Security level that its pods need, and no more.

Owns the form of every namespace that the program makes. Does not own which ones exist: each component makes its own.
Talos enforces `baseline` where a namespace sets no level (except in kube-system); here every namespace sets one. Each
says whose its content is: the program's, or that of Flux, which cannot write in the former
(`components/gitops/border.py`).
"""

from __future__ import annotations

from typing import Final, Literal

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.kubernetes_object import Namespace

PodSecurity = Literal["restricted", "baseline", "privileged"]
"""A level of the Pod Security Standards: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""

SERVICE_DOMAIN = "cluster.local"
"""Where the names of services end: Talos's default of `cluster.network.dnsDomain`, which is not changed."""

Owner = Literal["pulumi", "flux"]
"""Who fills a namespace."""

OWNER_LABEL: Final = "homelab/owner"
PROGRAM: Final[Owner] = "pulumi"

_LABEL = "pod-security.kubernetes.io"


def make_namespace(
    logical_name: str, name: str, security: PodSecurity, *, parent: pulumi.Resource, owner: Owner = PROGRAM
) -> Namespace:
    """The namespace `name`, in which the API server refuses pods that need more than `security` allows."""
    labels = {f"{_LABEL}/{mode}": security for mode in ("enforce", "audit", "warn")} | {OWNER_LABEL: owner}
    return Namespace(
        logical_name,
        metadata=ObjectMetaArgs(name=name, labels=labels),
        opts=pulumi.ResourceOptions(
            parent=parent,
            # Without a limit, a namespace holding something that nobody removes would be waited for forever.
            custom_timeouts=pulumi.CustomTimeouts(create="2m", delete="5m"),
        ),
    )
