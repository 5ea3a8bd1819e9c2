"""What the program's own pods need to be let into a namespace of level `restricted`, and to end when they are told.

Owns no resource. Pods from charts get theirs through the charts' values.
"""

from __future__ import annotations

from typing import Any, Final

HEARS_TERM: Final = True
"""`shareProcessNamespace` of a pod whose program does not handle TERM itself, as neither Python nor a shell does.

Process 1 ignores a signal for which it has no handler, so each eviction would take the whole grace period, and end in
the middle of a write. In a shared namespace another process is number 1, the pod's own:
https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/
"""


def container_security() -> dict[str, Any]:
    """For a container, whose root file system is also read-only."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_security(user: int, group: int | None = None) -> dict[str, Any]:
    """For a pod that runs as `user`; with a `group`, the pod's volumes belong to that group too."""
    groups = {} if group is None else {"runAsGroup": group, "fsGroup": group}
    return {"runAsNonRoot": True, "runAsUser": user, **groups, "seccompProfile": {"type": "RuntimeDefault"}}
