"""What becomes of a cluster's volumes when the cluster is destroyed: they are listed, or deleted.

Owns one command that Pulumi runs when it deletes the command's resource, because `pulumi destroy` does not run the
program, so none of the program's hooks could do it. What the command does is in `csi_volumes_command.py`. Does not own
the volumes: the CSI driver makes them, and inside the cluster their reclaim policy is `Retain`.
Must exist before: a site that has passed its checks. Created before the first VM, which depends on it, and so deleted
after the last one, when nothing writes to volumes any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_command as command

from components.kit.entry_point import EntryPoint
from components.proxmox.api import ProxmoxLogin
from components.storage.csi_volumes_command import PLAN, RECORDED, Plan

_KEEP = f"printf '%s\\n' \"${RECORDED}\""


@dataclass(frozen=True, kw_only=True)
class CsiVolumesArgs:
    """Arguments of `CsiVolumes`.

    on_destroy: list what stays, or delete this cluster's volumes and nothing else.
    plan: which cluster's volumes, and where. login: with rights on all the site's guests and the volumes' datastore.
    """

    on_destroy: Literal["retain", "purge"]
    plan: Plan
    login: ProxmoxLogin


class CsiVolumes(pulumi.ComponentResource):
    """The handling of a cluster's volumes at its destroy."""

    last: command.local.Command
    """What is deleted after everything that depends on it: each VM must, directly or through another VM.

    Not called `ready`: a VM depends on it for the order of their deletion alone.
    """

    def __init__(self, name: str, args: CsiVolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:storage:CsiVolumes", name, None, opts)
        self.last = command.local.Command(
            name,
            create=EntryPoint.CSI_VOLUMES.command("record"),
            # The record of what existed before this cluster is kept when the credentials or the setting change.
            update=_KEEP,
            delete=EntryPoint.CSI_VOLUMES.command(args.on_destroy),
            environment={PLAN: args.plan.dumps(), **args.login.variables()},
            opts=pulumi.ResourceOptions(
                parent=self,
                # A replacement then begins with the deletion, which is refused while there are VMs.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="30m"),
            ),
        )
        self.register_outputs({"last": self.last.id})
