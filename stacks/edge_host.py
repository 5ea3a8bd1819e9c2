"""The public host layer, between site and cluster: access to the host, and what must exist before the machines do.

What the host does for the cluster is set up last (`edge.py`). A stack without `homelab:edge` has neither.
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
    """The host and the account used to set it up."""

    ssh: SshHost
    provider: command.Provider

    def opts(self, *after: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options for a component on the host, created once `after` exists.

        Nothing on it is `deleted_with` the machines: the host is outside the cluster and has to be restored.
        """
        return pulumi.ResourceOptions(providers=[self.provider], depends_on=list(after))


@dataclass(frozen=True)
class EdgeHostLayer:
    """What later layers need from the public host; everything is absent if there is none."""

    reached: Reached | None = None
    tailnet: Tailnet | None = None
    """The tailnet that the nodes join, if the host serves it."""
    entries: Mapping[str, pulumi.Resource] = field(default_factory=dict)
    """By node name: what the node's machine depends on, so that it is deleted after the machine."""


def deploy(settings: Settings, credentials: Credentials, *, site: SiteLayer) -> EdgeHostLayer:
    """Set up access to the host and, if it runs Headscale, the node entries that are removed with the cluster."""
    edge = settings.edge
    if edge is None or credentials.edge_ssh_key is None:
        return EdgeHostLayer()
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
