"""The cluster's nodes on a Headscale server: each is removed from there once its machine is gone.

Owns their removal (`on_host/headscale.py`). Does not own their joining: nodes join on their own, with a pre-auth
key from the stack's secrets. The key is not made here: it would stay in the state, would have expired by the
time a node is added or rebuilt, and a new one on each run would be a change on each run.
Must exist before: a Headscale server on the host.
Must be created before the machines, each of which depends on its entry: at a destroy the entry goes after the machine,
as a node that still ran would join again with its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_command import remote

from components.edge.ssh import SshHost


@dataclass(frozen=True, kw_only=True)
class Tailnet:
    """A cluster in a tailnet that Headscale serves.

    host: where Headscale runs. nodes: host names. tags: those that the nodes' keys were made with; a node with one of
    these names but none of the tags is somebody else's. command: Headscale's own program there.
    """

    host: SshHost
    nodes: Sequence[str]
    tags: Sequence[str]
    command: Sequence[str] = ("headscale",)

    def __post_init__(self) -> None:
        if not self.tags:
            raise ValueError("tags: none, so any machine of a node's name would be taken for it; name the key's tags")

    def wanted(self, *nodes: str) -> dict[str, Any]:
        """The input about some nodes for the program on the host."""
        return {"nodes": list(nodes), "tags": list(self.tags), "headscale": list(self.command)}


@dataclass(frozen=True, kw_only=True)
class HeadscaleNodesArgs:
    """Arguments of `HeadscaleNodes`."""

    tailnet: Tailnet


class HeadscaleNodes(pulumi.ComponentResource):
    """Entries that are removed with the cluster's machines."""

    entries: Mapping[str, remote.Command]
    """By host name: what the machine of that name depends on.

    Not one `ready`, as a machine waits for its own entry and no other.
    """

    def __init__(self, name: str, args: HeadscaleNodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:edge:HeadscaleNodes", name, None, opts)
        self.entries = {
            node: args.tailnet.host.program(
                f"{name}-{node}",
                "headscale",
                args.tailnet.wanted(node),
                install="expect",
                remove="remove",
                opts=pulumi.ResourceOptions(parent=self),
            )
            for node in args.tailnet.nodes
        }
        self.register_outputs({"entries": list(self.entries)})
