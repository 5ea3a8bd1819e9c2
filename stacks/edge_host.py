"""The public host, between site and cluster: the way to it, and what must be there before the machines are made.

What it does for the cluster comes last (`edge.py`). A stack without `homelab:edge` has neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_command as command

from components.edge.headscale_nodes import HeadscaleNodes, HeadscaleNodesArgs, Tailnet
from components.edge.ssh import SshHost
from stacks.settings.credentials import Credentials
from stacks.settings.model import Settings
from stacks.site import SiteLayer


@dataclass(frozen=True)
class Reached:
    """The host and the account that sets it up."""

    ssh: SshHost
    provider: command.Provider

    def opts(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a component on the host, made when `after` is there.

        Nothing on it is `deleted_with` the machines: it is outside, and has to be put back.
        """
        return pulumi.ResourceOptions(providers=[self.provider], depends_on=list(after))


@dataclass(frozen=True)
class EdgeHostLayer:
    """What later layers need of the public host; all of it is absent where there is none."""

    reached: Reached | None = None
    tailnet: Tailnet | None = None
    """The tailnet that the nodes join, if the host serves it."""
    entries: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """By host name: what the machine of that name depends on, so that it goes after it."""


def deploy(settings: Settings, credentials: Credentials, *, site: SiteLayer) -> EdgeHostLayer:
    """The way to the host and, if it runs Headscale, the entries that go with the cluster."""
    edge = settings.edge
    if edge is None or credentials.edge_ssh_key is None:
        return EdgeHostLayer()
    if edge.ssh.host_key is None:
        pulumi.log.warn(
            "homelab:edge.ssh.hostKey is not set: whoever answers at the edge's address is believed to be it. Set what "
            f"`ssh-keyscan -t ed25519 {edge.ssh.host or edge.address}` prints, once you know that it is right"
        )
    ssh = SshHost(
        host=edge.ssh.host or str(edge.address),
        port=edge.ssh.port,
        user=edge.ssh.user,
        host_key=edge.ssh.host_key,
        private_key=credentials.edge_ssh_key,
    )
    reached = Reached(ssh, site.commands)
    if not edge.headscale:
        return EdgeHostLayer(reached)
    tailnet = Tailnet(host=ssh, nodes=sorted(settings.nodes), tags=settings.tailscale.tags)
    nodes = HeadscaleNodes("headscale", HeadscaleNodesArgs(tailnet=tailnet), opts=reached.opts())
    return EdgeHostLayer(reached, tailnet, nodes.entries)
