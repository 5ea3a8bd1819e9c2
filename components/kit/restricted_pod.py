"""The security contexts that the program's own pods need in a namespace of level `restricted` (`namespace.py`).

Owns no resource. Pods from charts get theirs through the charts' values.
"""

from __future__ import annotations

from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    PodSecurityContextArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
)


def container_security() -> SecurityContextArgs:
    """For a container, whose root file system is also read-only."""
    return SecurityContextArgs(
        allow_privilege_escalation=False,
        read_only_root_filesystem=True,
        capabilities=CapabilitiesArgs(drop=["ALL"]),
    )


def pod_security(user: int, group: int | None = None) -> PodSecurityContextArgs:
    """For a pod that runs as `user`; with a `group`, the pod's volumes belong to that group too."""
    return PodSecurityContextArgs(
        run_as_non_root=True,
        run_as_user=user,
        run_as_group=group,
        fs_group=group,
        seccomp_profile=SeccompProfileArgs(type="RuntimeDefault"),
    )
