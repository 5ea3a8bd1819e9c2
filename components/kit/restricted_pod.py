"""What the program's own pods need to be let into a namespace of level `restricted`, and to end when they are told.

Owns no resource. Pods from charts get theirs through the charts' values.
"""

from __future__ import annotations

from typing import Final

from pulumi_kubernetes.core.v1 import (
    CapabilitiesArgs,
    PodSecurityContextArgs,
    SeccompProfileArgs,
    SecurityContextArgs,
)

HEARS_TERM: Final = True
"""`share_process_namespace` of a pod whose program does not handle TERM itself, as neither Python nor a shell does.

Process 1 ignores a signal for which it has no handler, so each eviction would take the whole grace period, and end in
the middle of a write. In a shared namespace another process is number 1, the pod's own:
https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/
"""


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
