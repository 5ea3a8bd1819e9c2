"""The routes into the cluster, approved on a Headscale server.

Owns their approval (`on_host/headscale.py`) for the nodes that advertise them. Does not own the advertising, which is
in the nodes' configuration, nor what other routes the server has. Approved routes go with the node's entry.
Must exist before: the nodes, in the tailnet or about to join.

Without this component, `autoApprovers` in Headscale's policy does the same, and also for a rebuilt node, which this
component does not notice: the node's name stays the same, and so do the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi_command import remote

from components.edge.headscale_nodes import Tailnet


@dataclass(frozen=True, kw_only=True)
class HeadscaleRoutesArgs:
    """Arguments of `HeadscaleRoutes`.

    routers: host names of the nodes that advertise `routes`. wait: seconds for all of them to come online.
    """

    tailnet: Tailnet
    routers: Sequence[str]
    routes: Sequence[IPv4Network]
    wait: int = 300

    def __post_init__(self) -> None:
        strangers = sorted({*self.routers} - {*self.tailnet.nodes})
        if strangers:
            raise ValueError(
                f"routers: not among the tailnet's nodes: {', '.join(strangers)}; name nodes of the cluster"
            )
        if not self.routes:
            raise ValueError("routes: none, so there is nothing to approve; name what the routers advertise")


class HeadscaleRoutes(pulumi.ComponentResource):
    """Routes that the tailnet may use."""

    ready: remote.Command
    """Up when the server routes into the cluster; whatever is reached that way depends on it."""

    def __init__(self, name: str, args: HeadscaleRoutesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:edge:HeadscaleRoutes", name, None, opts)
        self.ready = args.tailnet.host.program(
            f"{name}-approval",
            "headscale",
            {
                **args.tailnet.wanted(*args.routers),
                "routes": [str(route) for route in args.routes],
                "wait": args.wait,
            },
            install="approve",
            remove=None,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"approved": self.ready.id})
