"""The Proxmox pool that a cluster's VMs are made in, so that what is granted on it holds for each of them.

Owns the pool. Does not own its members: a VM names the pool when it is created, and leaves it when it is deleted; nor
what is granted on it (`ProxmoxAccount`). Proxmox removes what was granted on a VM itself along with the VM
(remove_vm_access, https://github.com/proxmox/pve-access-control/blob/master/src/PVE/AccessControl.pm), and a VM that is
made anew under the same id does not get it back; the pool's grants stay.
Must exist before: nothing. Proxmox deletes a pool only when it has no members.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_proxmoxve as proxmox


@dataclass(frozen=True, kw_only=True)
class VmPoolArgs:
    """Arguments of `VmPool`.

    pool: its name at the site, which no other stack may use; it begins with a letter.
    comment: what it is for, shown in Proxmox.
    hooks: what runs around each operation in Proxmox.
    """

    pool: str
    comment: str
    hooks: pulumi.ResourceHookBinding | None = None

    def __post_init__(self) -> None:
        # PVE::API2::Pool, create_pool: https://github.com/proxmox/pve-manager/blob/master/PVE/API2/Pool.pm
        if not self.pool[:1].isalpha() or not self.pool[:1].isascii():
            raise ValueError(
                f"pool {self.pool!r}: Proxmox requires a letter at its beginning; give the Pulumi project a name that "
                "begins with one"
            )


class VmPool(pulumi.ComponentResource):
    """A pool for the VMs of one stack."""

    pool: proxmox.PoolLegacy
    """Must outlive what is granted on it."""

    id: pulumi.Output[str]
    """For a VM that is to be made in the pool, which is thereby deleted before it."""

    path: str
    """Where a grant applies to each VM in the pool."""

    def __init__(self, name: str, args: VmPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:proxmox:VmPool", name, None, opts)
        self.pool = proxmox.PoolLegacy(
            name,
            pool_id=args.pool,
            comment=args.comment,
            opts=pulumi.ResourceOptions(parent=self, hooks=args.hooks),
        )
        self.id = self.pool.pool_id
        self.path = path_of(args.pool)
        self.register_outputs({"id": self.id})


def path_of(pool: str) -> str:
    """Where access to a pool, and to what is in it, is granted."""
    return f"/pool/{pool}"
