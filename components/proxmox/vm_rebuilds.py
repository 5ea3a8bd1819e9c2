"""What must be known before a VM is deleted to be made anew: that its deletion and the new VM can succeed.

Owns one command for each VM, which acts only when Pulumi deletes it to replace it, and that happens only when its VM is
replaced (`vm_command.py`). For a node that leaves for good, and in a destroy, the commands are `deleted_with` what
deletes the VM. Does not own the VMs.
Must exist before: the VMs, and what takes a node out of its cluster, as these checks come before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_command as command

from components.kit.entry_point import EntryPoint
from components.proxmox.api import ProxmoxLogin
from components.proxmox.talos_vm import TalosVm
from components.proxmox.vm_command import IMAGE, PLAN


@dataclass(frozen=True, kw_only=True)
class VmRebuildsArgs:
    """Arguments of `VmRebuilds`.

    vms: by name.
    login: with rights on the VMs and on the datastores of their disks and images.
    after: by the VM's name: what is done to a node before its VM is deleted, and so only after the checks.
    """

    vms: Mapping[str, TalosVm]
    login: ProxmoxLogin
    after: Mapping[str, pulumi.Resource]


class VmRebuilds(pulumi.ComponentResource):
    """The commands, each deleted before anything is done to a VM that is to be made anew."""

    def __init__(self, name: str, args: VmRebuildsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:proxmox:VmRebuilds", name, None, opts)
        for node, made in args.vms.items():
            command.local.Command(
                f"{name}-{node}",
                # The provider requires one; with a no-op, a change of the plan or the login is only recorded.
                create="true",
                delete=EntryPoint.VM.command("rebuild"),
                environment={PLAN: made.plan.dumps(), IMAGE: made.image, **args.login.variables()},
                triggers=[made.life],
                opts=pulumi.ResourceOptions(
                    parent=self,
                    depends_on=[made.vm, args.after[node]],
                    deleted_with=made.end,
                    delete_before_replace=True,
                ),
            )
        self.register_outputs({})
