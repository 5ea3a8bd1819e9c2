"""What becomes of a cluster's volumes when the cluster is destroyed: they are listed, or deleted.

Owns one command that Pulumi runs when it deletes the command's resource, because `pulumi destroy` does not run the
program, so no hook of the program could. What the command does is in `csi_volumes_command.py`. Does not own the
volumes: the CSI driver makes them, and `Retain` is what the cluster itself does with them.
Must exist before: a site that was found right. Made before the first VM, which depends on it: so it is deleted after
the last one, when nothing writes any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_command as command

from components.kit.entry_point import EntryPoint
from components.proxmox.api import ProxmoxLogin
from components.storage.csi_volumes_command import API_TOKEN, PASSWORD, PLAN, RECORDED, Plan

_KEEP = f"printf '%s\\n' \"${RECORDED}\""


@dataclass(frozen=True, kw_only=True)
class CsiVolumesArgs:
    """Arguments of `CsiVolumes`.

    on_destroy: list what stays, or delete this cluster's volumes and nothing else.
    plan: whose volumes, and where. login: with rights on all of the site's guests and on the volumes' datastore.
    """

    on_destroy: Literal["retain", "purge"]
    plan: Plan
    login: ProxmoxLogin

    def __post_init__(self) -> None:
        if (self.login.password is None) == (self.login.api_token is None):
            raise ValueError("login: give a password or an API token; without either the volumes cannot be asked for")


class CsiVolumes(pulumi.ComponentResource):
    """The end of a cluster's volumes."""

    last: command.local.Command
    """What is deleted after everything that depends on it: each VM must, directly or through another VM.

    Not called `ready`: a VM depends on it for the order of their deletion alone.
    """

    def __init__(self, name: str, args: CsiVolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:storage:CsiVolumes", name, None, opts)
        environment: dict[str, pulumi.Input[str]] = {PLAN: args.plan.dumps()}
        if args.login.api_token is not None:
            environment[API_TOKEN] = pulumi.Output.secret(args.login.api_token)
        elif args.login.password is not None:
            environment[PASSWORD] = pulumi.Output.secret(args.login.password)
        self.last = command.local.Command(
            name,
            create=EntryPoint.CSI_VOLUMES.command("record"),
            # What was there before this cluster stays what it is when the credentials or the setting change.
            update=_KEEP,
            delete=EntryPoint.CSI_VOLUMES.command(args.on_destroy),
            environment=environment,
            opts=pulumi.ResourceOptions(
                parent=self,
                # A replacement then begins with the deletion, which is refused while there are VMs.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="30m"),
            ),
        )
        self.register_outputs({"last": self.last.id})
