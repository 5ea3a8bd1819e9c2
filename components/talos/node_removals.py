"""What happens to a node before its VM is deleted or replaced: it leaves the cluster properly instead of vanishing.

Owns one command for each node, which acts only when Pulumi deletes it (`node_removal_command.py`). A hook could
not do it: a resource that is no longer in the program has no hooks, and `pulumi destroy` does not run the
program. Does not own the machines, nor any object in the cluster.
Must exist before: a cluster that answers, and the node in it. When the whole cluster is destroyed, no node is removed
from it first: the commands are `deleted_with` it. Control planes leave one after another; several workers may leave at
once, as disruption budgets apply to all of them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_command as command

from components.kit.entry_point import EntryPoint
from components.talos.api import CREDENTIALS, LEAVE_RPC_TIMEOUT
from components.talos.node_removal_command import PLAN, Plan
from components.talos.power import SHUTDOWN_SECONDS
from components.talos.secrets import ClientCredentials

_REST = 300
"""Seconds for the steps of a removal that have no time of their own: questions to the other nodes."""


@dataclass(frozen=True, kw_only=True)
class NodeRemovalsArgs:
    """Arguments of `NodeRemovals`.

    nodes: each node's address by host name.
    controlplanes: names of those that hold etcd.
    client: of the cluster's Talos API.
    members: what each node is made of, its VM too: a VM goes only after what depends on it itself.
    drain_seconds: how long a node's pods may take to leave it.
    lives: by host name: what is unknown while the node's VM is replaced (`TalosVm.life`).
    after: what is there once the cluster answers.
    cluster: what is deleted only with the whole cluster.
    """

    nodes: Mapping[str, IPv4Address]
    controlplanes: frozenset[str]
    client: ClientCredentials
    members: Mapping[str, Sequence[pulumi.Resource]]
    drain_seconds: float
    lives: Mapping[str, pulumi.Output[str]]
    after: pulumi.Resource
    cluster: pulumi.Resource


class NodeRemovals(pulumi.ComponentResource):
    """The commands, each deleted before what made its node a member."""

    commands: dict[str, command.local.Command]
    """By host name."""

    def __init__(self, name: str, args: NodeRemovalsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:talos:NodeRemovals", name, None, opts)
        controlplanes = {node: str(address) for node, address in args.nodes.items() if node in args.controlplanes}
        credentials = args.client.dumps()
        self.commands: dict[str, command.local.Command] = {}
        earlier: list[pulumi.Resource] = []
        seconds = args.drain_seconds + LEAVE_RPC_TIMEOUT + SHUTDOWN_SECONDS + _REST
        for node, address in args.nodes.items():
            plan = Plan(node=node, address=str(address), controlplanes=controlplanes, drain_seconds=args.drain_seconds)
            holds_etcd = node in args.controlplanes
            made = command.local.Command(
                f"{name}-{node}",
                # The provider requires one; with a no-op, a new control plane only changes the recorded `Plan`.
                create="true",
                delete=EntryPoint.NODE_REMOVAL.command(),
                environment={PLAN: plan.dumps(), CREDENTIALS: credentials},
                triggers=[args.lives[node]],
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[args.after, *args.members[node], *(earlier if holds_etcd else [])],
                    deleted_with=args.cluster,
                    # The engine deletes this before the VM that it replaces. Without this option, an `up` that resumes
                    # after a failure in between would delete it again, after the new machine has joined (measured).
                    delete_before_replace=True,
                    custom_timeouts=pulumi.CustomTimeouts(delete=f"{seconds:.0f}s"),
                ),
            )
            self.commands[node] = made
            if holds_etcd:
                earlier.append(made)
        self.register_outputs({})
