"""MetalLB: addresses for Services of type LoadBalancer, announced by ARP from the node that receives their traffic.

Owns the namespace and the Helm release, which brings the custom resource definitions of metallb.io. Does not own the
pools: those are `address_pool.py`. Cilium's own announcer stays off, as two announcers would fight over an address.
Must exist before: the pod network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.release import Release
from components.kit.versions import METALLB


@dataclass(frozen=True, kw_only=True)
class MetalLbArgs:
    """Arguments of `MetalLb`.

    announce_from_control_planes: whether nodes labelled `exclude-from-external-load-balancers` announce nevertheless.
        Talos puts that label on every control plane, so a cluster without workers would announce nothing.
    """

    charts: ChartSource
    announce_from_control_planes: bool


class MetalLb(pulumi.ComponentResource):
    """The load balancer of a bare-metal cluster."""

    namespace: str
    """Where MetalLB looks for its pools."""

    ready: Release
    """Up when the controller and a speaker on each announcing node are; pools depend on it."""

    def __init__(self, name: str, args: MetalLbArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:network:MetalLb", name, None, opts)
        self.namespace = "metallb-system"
        # Speakers use the network of their node and send raw packets.
        namespace = make_namespace(f"{name}-namespace", self.namespace, "privileged", parent=self)
        configured: dict[str, Any] = values("metallb")
        configured["speaker"]["ignoreExcludeLB"] = args.announce_from_control_planes
        self.ready = args.charts.install(
            METALLB, name, parent=self, name="metallb", namespace=namespace.metadata.name, values=configured
        )
        self.register_outputs({"namespace": self.namespace, "release": self.ready.name})
