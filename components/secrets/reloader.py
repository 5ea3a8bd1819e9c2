"""Reloader: restarts a workload when a Secret or ConfigMap that it reads has changed.

Owns the namespace and the Helm release. Does not own which workload restarts for what: each says so by the annotations
of `restart_on` or `restart_on_mounted`. It restarts nothing else, watches every namespace (as applications come and
go), and may change Deployments, StatefulSets and DaemonSets; a Job reads its Secrets again whenever it runs.
Must exist before: the pod network. It has two replicas where two nodes can hold them: one leads, one is on standby.

A change made while none of its replicas led is caught up by the next leader: each workload carries the hash of what it
was started with (charts/values/reloader.yaml).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.references import SecretReference
from components.kit.release import Release
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import RELOADER

_NAMESPACE: Final = "reloader"
_SECRETS: Final = "secret.reloader.stakater.com/reload"
_MOUNTED: Final = "secret.reloader.stakater.com/auto"


def restart_on(*secrets: SecretReference) -> dict[str, str]:
    """Annotations of a workload that is to restart when one of these Secrets of its namespace changes.

    They belong in the metadata of the Deployment, StatefulSet or DaemonSet itself. All Secrets of a workload go into
    one call, as they share one annotation. Raises ValueError when they are in different namespaces.
    """
    if len(namespaces := {secret.namespace for secret in secrets}) > 1:
        raise ValueError(
            f"restart_on: Secrets of {', '.join(sorted(namespaces))}; a pod reads those of its own namespace alone, so "
            "refer to the copies there"
        )
    return {_SECRETS: ",".join(sorted({secret.name for secret in secrets}))}


def restart_on_mounted() -> dict[str, str]:
    """Annotations of a workload that is to restart when any Secret that its pods refer to changes.

    For one whose volumes an operator chooses. Where the program knows them, `restart_on` is more precise.
    """
    return {_MOUNTED: "true"}


@dataclass(frozen=True, kw_only=True)
class ReloaderArgs:
    """Arguments of `Reloader`.

    schedulable: how many nodes take ordinary pods.
    """

    charts: ChartSource
    schedulable: int


class Reloader(pulumi.ComponentResource):
    """Makes changed Secrets reach running pods."""

    ready: Release
    """Up when a replica leads; from then on changes of Secrets are noticed."""

    def __init__(self, name: str, args: ReloaderArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:Reloader", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", _NAMESPACE, "restricted", parent=self)
        configured: dict[str, Any] = values("reloader")
        deployment = configured["reloader"]["deployment"]
        deployment["replicas"] = replicas(args.schedulable)
        deployment["topologySpreadConstraints"] = one_per_node({"app": "reloader-reloader", "release": "reloader"})
        self.ready = args.charts.install(
            RELOADER, name, parent=self, name="reloader", namespace=namespace.metadata.name, values=configured
        )
        self.register_outputs({"release": self.ready.name})
