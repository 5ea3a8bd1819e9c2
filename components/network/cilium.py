"""Cilium: the pod network, and Services in place of kube-proxy.

Owns the Helm release. Does not own the machine settings that it needs (CNI "none", kube-proxy disabled, KubePrism):
those are in `talos/config.py`. The custom resources of cilium.io are registered by Cilium's operator at run time.
Must exist before: a Kubernetes API that answers. Nodes are NotReady until this release is up. Flux never manages it: a
tool that runs on the pod network cannot repair the pod network.

Beside Tailscale in the kernel of a node, the MTU must be given: Cilium takes any device with an address and a route for
one of the node's, `tailscale0` too, and the smallest MTU among them for all pods. Leaving `tailscale0` out of Cilium's
`devices` would cure that as well, but then packets that come in there for a Service's address would be sent on to the
node that announces it: a node that routes and announces would drop them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.release import Release
from components.kit.versions import CILIUM

ETHERNET_MTU: Final = 1500
"""Bytes; what a VM's interface on a bridge carries if nobody raised it."""

TAILSCALE_MTU: Final = 1280
"""Bytes; `safeTUNMTU` in https://github.com/tailscale/tailscale/blob/main/net/tstun/mtu.go."""


@dataclass(frozen=True, kw_only=True)
class CiliumArgs:
    """Arguments of `Cilium`.

    api_port: port on which every node reaches the API server as localhost (KubePrism).
    operator_replicas: 2 where two nodes can hold them, else 1.
    mtu: bytes of the largest packet between nodes; None: that of the smallest among their devices.
    """

    charts: ChartSource
    api_port: int
    operator_replicas: int
    mtu: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.operator_replicas <= 2:
            raise ValueError(
                f"operator_replicas: {self.operator_replicas} is neither 1 nor 2; "
                "one operator leads and one stands by, any more would stay idle"
            )
        if self.mtu is not None and self.mtu <= TAILSCALE_MTU:
            raise ValueError(
                f"mtu: {self.mtu} is no more than the {TAILSCALE_MTU} of a tailnet's device; give that of the nodes' "
                f"own network, usually {ETHERNET_MTU}, or leave it out"
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
        if args.mtu is not None:
            configured["MTU"] = args.mtu
        self.ready = args.charts.install(
            CILIUM, name, parent=self, name="cilium", namespace="kube-system", values=configured
        )
        self.register_outputs({"release": self.ready.name})
