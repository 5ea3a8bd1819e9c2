"""Cilium: the pod network, and Services in place of kube-proxy.

Owns the Helm release. Does not own the machine settings that it needs (CNI "none", kube-proxy disabled, KubePrism):
those are in `talos/config.py`. The custom resources of cilium.io are registered by Cilium's operator at run time.
Must exist before: a Kubernetes API that answers. Nodes are NotReady until this release is up. Flux never manages it: a
tool that runs on the pod network cannot repair the pod network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from components.kit.chart import ChartSource, values
from components.kit.versions import CILIUM


@dataclass(frozen=True, kw_only=True)
class CiliumArgs:
    """Arguments of `Cilium`.

    api_port: port on which every node reaches the API server as localhost (KubePrism).
    operator_replicas: 2 where two nodes can hold them, else 1.
    """

    charts: ChartSource
    api_port: int
    operator_replicas: int

    def __post_init__(self) -> None:
        if not 1 <= self.operator_replicas <= 2:
            raise ValueError(
                f"operator_replicas: {self.operator_replicas} is neither 1 nor 2; "
                "one operator leads and one stands by, any more would stay idle"
            )


class Cilium(pulumi.ComponentResource):
    """The pod network of a Talos cluster."""

    ready: Release
    """Up when the agents and the operator are; whatever needs pods to communicate depends on it."""

    def __init__(self, name: str, args: CiliumArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:network:Cilium", name, None, opts)
        configured: dict[str, Any] = values("cilium")
        configured["k8sServicePort"] = args.api_port
        configured["operator"] = {"replicas": args.operator_replicas}
        self.ready = args.charts.install(
            CILIUM, name, parent=self, name="cilium", namespace="kube-system", values=configured
        )
        self.register_outputs({"release": self.ready.name})
