"""A VM for one Talos node.

Owns the VM with its disks and cloud-init drive, and the command that deletes it where it is (`vm_command.py`). Does not
own the image (`TalosImage`), nor anything inside the VM: its configuration arrives over the Talos API (`TalosCluster`).
Must exist before: the pool, and the image on the VM's host. Once this component is done the VM runs; the node may
still be booting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_proxmoxve as proxmox

from components.kit.entry_point import EntryPoint
from components.proxmox.api import ProxmoxLogin
from components.proxmox.vm_command import PLAN, VmPlan
from components.talos.power import SHUTDOWN_SECONDS

SYSTEM_DISK = "scsi0"
DATA_DISK = "scsi30"
"""The last slot on the bus: Proxmox CSI attaches volumes to scsi1 through scsi29."""

DATA_DISK_PATH = f"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-{DATA_DISK}"
"""The data disk as the node sees it, whatever else is attached: QEMU names a disk without a serial after its drive."""

# Proxmox neither backs up nor replicates a disk, as a node holds no data worth keeping.
_DISK: dict[str, Any] = {
    "iothread": True,
    "ssd": True,
    "discard": "on",
    "cache": "none",
    "backup": False,
    "replicate": False,
}

DISK_OPTIONS = ",".join(f"{name}={int(value) if isinstance(value, bool) else value}" for name, value in _DISK.items())
"""Of each disk, as in Proxmox's `qm set`."""

# Seconds. A create copies the image.
_CREATE, _START, _STOP = 900, 120, 60


@dataclass(frozen=True, kw_only=True)
class TalosVmArgs:
    """Arguments of `TalosVm`; its name is the VM's and the node's.

    pool: the Proxmox pool that it is made in, or moved to if it exists.
    host: the Proxmox host that runs it; vm_id and mac are fixed, so that a rebuilt VM is the same machine.
    interface: address with its prefix length, given to Talos through cloud-init.
    cores: virtual cores; memory: MiB, all of it reserved; disk: GiB of the system disk.
    data_disk: GiB of a second, raw disk, or None for none.
    image: id of the downloaded image on this host; it is only read when the disk is created.
    start_order: position in which Proxmox starts its VMs after a power cut.
    tags: sorted, lower case, as Proxmox stores them.
    agent: whether the image has the QEMU guest agent; Proxmox waits for one that it is told of and that is not there.
    after: what is created and changed before this VM, so that two never restart at once.
    outlived_by: what is deleted only after this VM is.
    login, stack_tag: for the command that deletes it: how to reach Proxmox, and the tag that marks the stack's VMs.
    """

    pool: pulumi.Input[str]
    host: str
    vm_id: int
    mac: str
    interface: IPv4Interface
    gateway: IPv4Address
    resolvers: Sequence[IPv4Address]
    domain: str
    cores: int
    memory: int
    disk: int
    datastore: str
    bridge: str
    vlan: int | None
    image: pulumi.Input[str]
    start_order: int
    tags: Sequence[str]
    agent: bool
    delete_protection: bool
    data_disk: int | None = None
    after: Sequence[pulumi.Resource]
    outlived_by: Sequence[pulumi.Resource]
    login: ProxmoxLogin
    stack_tag: str
    hooks: pulumi.ResourceHookBinding

    def __post_init__(self) -> None:
        if list(self.tags) != sorted({tag.lower() for tag in self.tags}):
            raise ValueError(
                f"tags {list(self.tags)}: Proxmox stores tags sorted, in lower case and without duplicates; "
                f"give {sorted({tag.lower() for tag in self.tags})}"
            )


class TalosVm(pulumi.ComponentResource):
    """A running VM that boots Talos."""

    vm: proxmox.VmLegacy
    """The VM; what lives inside it is `deleted_with` it."""

    end: command.local.Command
    """What deletes the VM, in a destroy or when its node leaves; what may not happen then is `deleted_with` it."""

    plan: VmPlan
    """What a command is told of this VM."""

    image: pulumi.Input[str]
    """Id of the image that a new VM is made from."""

    life: pulumi.Output[str]
    """Unknown while this VM is replaced: what takes an input from it and cannot outlive the VM is deleted first."""

    def __init__(self, name: str, args: TalosVmArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:proxmox:TalosVm", name, None, opts)
        self.plan = _plan(name, args)
        self.image = args.image
        self.end = self._end(name, args)
        self.vm = self._vm(name, args)
        self.life = self.vm.id
        self.register_outputs({"vm_id": self.vm.vm_id})

    def _end(self, name: str, args: TalosVmArgs) -> command.local.Command:
        return command.local.Command(
            f"vm-end-{name}",
            # The provider requires one; with a no-op, a change of the plan or the login is only recorded.
            create="true",
            delete=EntryPoint.VM.command("remove"),
            environment={PLAN: self.plan.dumps(), **args.login.variables()},
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.delete_protection,
                depends_on=list(args.outlived_by),
                custom_timeouts=pulumi.CustomTimeouts(delete="15m"),
            ),
        )

    def _vm(self, name: str, args: TalosVmArgs) -> proxmox.VmLegacy:
        sizes = disks(args.disk, args.data_disk)
        return proxmox.VmLegacy(
            name,
            node_name=args.host,
            name=name,
            vm_id=args.vm_id,
            pool_id=args.pool,
            # It names what the engine is told to ignore: changing that changes the VM, before which a hook acts.
            description=f"A Talos node, managed by Pulumi; disks on {args.datastore}: "
            + ", ".join(f"{slot} {size} GiB" for slot, size in sizes.items()),
            tags=list(args.tags),
            machine="q35",
            bios="ovmf",
            scsi_hardware="virtio-scsi-single",
            operating_system={"type": "l26"},
            cpu={"type": "host", "cores": args.cores, "sockets": 1, "numa": False},
            # No ballooning: a kubelet must not see its memory shrink.
            memory={"dedicated": args.memory, "floating": 0},
            # Keys must not be enrolled: Talos's plain image is not signed for Secure Boot.
            efi_disk={"datastore_id": args.datastore, "type": "4m", "pre_enrolled_keys": False, "file_format": "raw"},
            disks=[_disk(args, slot, size) for slot, size in sizes.items()],
            network_devices=[_network_device(args)],
            initialization=_cloud_init(args),
            # Waiting for the agent's address would take up to 15 minutes where the extension is missing; the Talos API
            # is what proves that a node is up.
            agent={"enabled": args.agent, "trim": True, "timeout": "30s", "wait_for_ip": {"disabled": True}},
            boot_orders=[SYSTEM_DISK],
            on_boot=True,
            startup={"order": args.start_order, "up_delay": 15, "down_delay": SHUTDOWN_SECONDS},
            # A different host is no reason to make the VM anew. Nor is it moved: the hook before an update refuses.
            migrate=True,
            started=True,
            stop_on_destroy=True,
            protection=args.delete_protection,
            timeout_create=_CREATE,
            timeout_start_vm=_START,
            timeout_shutdown_vm=SHUTDOWN_SECONDS,
            timeout_stop_vm=_STOP,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.delete_protection,
                delete_before_replace=True,
                depends_on=[*args.after, self.end],
                # In a destroy the provider would look for the VM on the recorded host alone.
                deleted_with=self.end,
                hooks=args.hooks,
                # A cluster member cannot move to another address: it leaves the cluster and rejoins with the new one.
                replace_on_changes=["initialization.ipConfigs[0].ipv4.address"],
                # The provider detaches every disk that it does not know, and with it the volumes of running pods,
                # whenever anything about a disk differs, be it a default of its next release. So no change of an
                # existing VM reaches its disks; `vm_update.py` enlarges and adds them. A new VM gets them as they are
                # here.
                ignore_changes=["disks"],
            ),
        )


def _plan(name: str, args: TalosVmArgs) -> VmPlan:
    return VmPlan(
        endpoint=args.login.endpoint,
        insecure=args.login.insecure,
        ca=args.login.ca,
        username=args.login.username,
        tag=args.stack_tag,
        name=name,
        vm_id=args.vm_id,
        host=args.host,
        datastore=args.datastore,
    )


def disks(system: int, data: int | None) -> dict[str, int]:
    """GiB of a VM's disks by their slots."""
    return {SYSTEM_DISK: system} | ({} if data is None else {DATA_DISK: data})


def _disk(args: TalosVmArgs, slot: str, size: int) -> proxmox.VmLegacyDiskArgs:
    return proxmox.VmLegacyDiskArgs(
        interface=slot,
        datastore_id=args.datastore,
        import_from=args.image if slot == SYSTEM_DISK else None,
        size=size,
        file_format="raw",
        **_DISK,
    )


def _network_device(args: TalosVmArgs) -> proxmox.VmLegacyNetworkDeviceArgs:
    return proxmox.VmLegacyNetworkDeviceArgs(
        bridge=args.bridge, model="virtio", mac_address=args.mac, firewall=False, vlan_id=args.vlan
    )


def _cloud_init(args: TalosVmArgs) -> proxmox.VmLegacyInitializationArgs:
    """What the node knows before it has a configuration: its address, which nothing else gives it."""
    address = proxmox.VmLegacyInitializationIpConfigIpv4Args(
        address=args.interface.with_prefixlen, gateway=str(args.gateway)
    )
    return proxmox.VmLegacyInitializationArgs(
        datastore_id=args.datastore,
        interface="ide2",
        dns=proxmox.VmLegacyInitializationDnsArgs(
            servers=[str(resolver) for resolver in args.resolvers], domain=args.domain
        ),
        ip_configs=[proxmox.VmLegacyInitializationIpConfigArgs(ipv4=address)],
    )
