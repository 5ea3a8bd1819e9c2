"""What keeps the last node of a zone while volumes live only there.

Owns one command, which runs again whenever the zones with nodes for ordinary pods change (`volume_zones_command.py`). A
hook could not do it: a node that is removed is no longer in the program. Owns no volume. A node that is made anew in
its zone changes no zone, and comes back to its volumes.
Must exist before: the cluster's Talos credentials. To be created before the nodes, so that it is asked before they
change; a new cluster does not answer, and has no volumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_command as command

from components.kit.entry_point import EntryPoint
from components.talos.api import CREDENTIALS
from components.talos.secrets import ClientCredentials
from components.talos.volume_zones_command import PLAN, Plan


@dataclass(frozen=True, kw_only=True)
class VolumeZonesArgs:
    """Arguments of `VolumeZones`.

    zones: of the nodes that take ordinary pods.
    controlplanes: addresses at which the cluster is asked.
    client: of the cluster's Talos API.
    """

    zones: frozenset[str]
    controlplanes: Sequence[IPv4Address]
    client: ClientCredentials

    def __post_init__(self) -> None:
        if not self.zones:
            raise ValueError("zones: none; a cluster needs a node that takes ordinary pods")


class VolumeZones(pulumi.ComponentResource):
    """The question, asked before nodes change."""

    asked: pulumi.Resource
    """What a node's VM must wait for."""

    def __init__(self, name: str, args: VolumeZonesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:talos:VolumeZones", name, None, opts)
        plan = Plan(zones=sorted(args.zones), controlplanes=[str(address) for address in args.controlplanes])
        self.asked = command.local.Command(
            name,
            # Without a command for updates, the provider runs this one again when the environment has changed.
            create=EntryPoint.VOLUME_ZONES.command(),
            environment={PLAN: plan.dumps(), CREDENTIALS: args.client.dumps()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
