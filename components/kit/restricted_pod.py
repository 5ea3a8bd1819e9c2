"""What a pod of the program's own must say of itself in a namespace of level `restricted` (`namespace.py`).

Owns no resource. Pods of charts say it in the charts' values.
"""

from __future__ import annotations

from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    PodSecurityContextArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
)


def container_security() -> SecurityContextArgs:
    """Of a container, which also cannot write to its own image."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )


def pod_security(user: int, group: int | None = None) -> PodSecurityContextArgs:
    """Of a pod that runs as `user`; with a `group`, the pod's volumes are that group's too."""
    return PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=group,
        fs_group=group,
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )
