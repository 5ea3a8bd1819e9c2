"""What is checked and finished in Proxmox before a VM is changed, because the provider does not.

Owns what happens between the decision to change a VM and the provider's own change, in `up` alone:

- A VM is changed where it is and nowhere else. A person or Proxmox's HA may have moved it; the provider would then fail
  on the recorded host, or move it.
- The disks of a VM that exists are this module's. The provider would detach every disk that it does not know whenever
  anything about a disk differs (vmUpdate in
  https://github.com/bpg/terraform-provider-proxmox/blob/v0.111.1/proxmoxtf/resource/vm/vm.go), and with it the volumes
  of running pods; so it is told to ignore them (`TalosVm`). Here disks grow and are added; none is ever detached.
- What an earlier, failed update left undone is completed: the provider's state then claims values that the VM does not
  have, and a plain rerun would keep them (measured: a locked VM).

Does not own the decision whether a node may restart: see `components/talos/hooks.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.proxmox.api import ProxmoxApi, ProxmoxError
from components.talos.power import SHUTDOWN_SECONDS

GIB = 2**30
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": GIB, "T": 2**40}


@dataclass(frozen=True)
class PlannedVm:
    """What the settings say about one VM.

    host: the Proxmox host that it is to be on. address: its node's. datastore: where its disks are to be.
    disks: GiB of each by its slot; the first is the system's.
    options: of a disk that is added to a VM that exists, as in Proxmox's `qm set`.
    """

    vm_id: int
    host: str
    address: str
    datastore: str
    disks: Mapping[str, int]
    options: str = ""


def elsewhere(name: str, planned: PlannedVm, host: str) -> str:
    """Says that a VM is on `host`, not where the settings place it, and the ways out."""
    return (
        f"VM {planned.vm_id} ({name}) is on host {host}, and the settings place it on {planned.host}. It was not "
        f"touched. Either move it: qm migrate {planned.vm_id} {planned.host} --online --with-local-disks (on {host}); "
        f"or have the settings follow: set host: {host} in homelab:nodes.{name}, and run `pulumi up --refresh`; or, "
        f"after a refresh, have the node made anew on {planned.host}: pulumi up --replace '**VmLegacy::{name}'"
    )


def prepare(api: ProxmoxApi, planned: PlannedVm, args: pulumi.ResourceHookArgs) -> None:
    """Check one VM, and bring it to where the provider can go on.

    Raises:
        ProxmoxError: nothing was changed; the message says why, and what to do.
    """
    old, new = args.old_outputs or {}, args.new_inputs or {}
    guest = api.guests().get(planned.vm_id)
    _check_place(args.name, planned, old, guest)
    base = f"/nodes/{planned.host}/qemu/{planned.vm_id}"
    actual = api.get(f"{base}/config")
    added, grown = _disks(args.name, planned, actual)
    wanted_pool = new.get("poolId")
    if guest is not None:
        _check_pool(args.name, planned.vm_id, wanted_pool, old.get("poolId"), guest.get("pool"))
        if wanted_pool and wanted_pool == old.get("poolId") and not guest.get("pool"):
            join_pool(api, planned.vm_id, wanted_pool)
    for slot in _unwanted(planned, old, actual):
        pulumi.log.info(
            f"VM {planned.vm_id} keeps its disk {slot}, which the settings no longer have; once nothing in the node "
            f"uses it: qm set {planned.vm_id} --delete {slot} (on {planned.host})"
        )
    for slot, size in grown.items():
        pulumi.log.info(f"VM {planned.vm_id}: disk {slot} grows to {size} GiB")
        api.put(f"{base}/resize", {"disk": slot, "size": f"{size}G"})
    for slot, size in added.items():
        pulumi.log.info(f"VM {planned.vm_id}: disk {slot} of {size} GiB is added")
        api.put(f"{base}/config", {slot: f"{planned.datastore}:{size},{planned.options}"})
    _finish_earlier_update(api, base, planned.vm_id, actual, old, new)


def join_pool(api: ProxmoxApi, vm_id: int, pool: str) -> None:
    """Put a VM that is in no pool into one."""
    api.put("/pools", {"poolid": pool, "vms": vm_id})


def _check_place(name: str, planned: PlannedVm, old: Mapping[str, Any], guest: Mapping[str, Any] | None) -> None:
    if guest is None:
        raise ProxmoxError(
            f"VM {planned.vm_id} ({name}) is recorded, and Proxmox has none of that id, or the login may not see it; "
            "nothing was changed. If it was deleted, `pulumi up --refresh` makes it anew"
        )
    if guest["node"] != planned.host:
        raise ProxmoxError(elsewhere(name, planned, guest["node"]))
    recorded = old.get("nodeName", planned.host)
    if recorded != planned.host:
        raise ProxmoxError(
            f"VM {planned.vm_id} ({name}) is on host {planned.host}, as the settings say, and recorded on {recorded}; "
            "nothing was changed. `pulumi up --refresh` records where it is"
        )


def _check_pool(name: str, vm_id: int, wanted: str | None, recorded: str | None, actual: str | None) -> None:
    if wanted is None or actual in (None, "") or actual == recorded:
        return
    if actual == wanted:
        raise ProxmoxError(
            f"VM {vm_id} ({name}) is in pool {wanted} already, which is not recorded; nothing was changed. "
            "`pulumi up --refresh` records it"
        )
    raise ProxmoxError(
        f"VM {vm_id} ({name}) is in pool {actual}, and must be in {wanted}, as a VM can be in one only; nothing was "
        f"changed. Take it out: pvesh set /pools --poolid {actual} --vms {vm_id} --delete 1"
    )


def _disks(name: str, planned: PlannedVm, actual: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """The disks to add and those to enlarge: GiB by slot. Raises ProxmoxError where neither can mend a difference."""
    added, grown = {}, {}
    for slot, size in planned.disks.items():
        drive = str(actual.get(slot, ""))
        if not drive:
            added[slot] = size
            continue
        datastore, has = drive.partition(":")[0], _disk_bytes(drive)
        if datastore != planned.datastore:
            raise ProxmoxError(
                f"VM {planned.vm_id} ({name}) has disk {slot} on datastore {datastore}, and the settings want it on "
                f"{planned.datastore}; nothing was changed. Move it: qm disk move {planned.vm_id} {slot} "
                f"{planned.datastore} --delete 1 (on {planned.host}); or set it back in "
                f"homelab:site.hosts.{planned.host}; or have the node made anew: "
                f"pulumi up --replace '**VmLegacy::{name}'"
            )
        if has > size * GIB:
            raise ProxmoxError(
                f"VM {planned.vm_id} ({name}) has disk {slot} of {has / GIB:g} GiB, and the settings want {size}; "
                "nothing was changed, as a disk cannot shrink. Set disk to what it has, or have the node made anew: "
                f"pulumi up --replace '**VmLegacy::{name}'"
            )
        if 0 < has < size * GIB:
            grown[slot] = size
    if (system := next(iter(planned.disks))) in added:
        raise ProxmoxError(
            f"VM {planned.vm_id} ({name}) has no system disk {system}; nothing was changed. Attach it again, or have "
            f"the node made anew: pulumi up --replace '**VmLegacy::{name}'"
        )
    return added, grown


def _unwanted(planned: PlannedVm, old: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Slots of the disks that this program gave the VM and the settings do not have."""
    given = [str(disk["interface"]) for disk in old.get("disks") or [] if disk]
    return [slot for slot in given if slot not in planned.disks and slot in actual]


def _finish_earlier_update(
    api: ProxmoxApi,
    base: str,
    vm_id: int,
    actual: Mapping[str, Any],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> None:
    """Gives the VM the cores and memory that the state says it has and the new inputs still want."""
    changes: dict[str, Any] = {}
    for key, wanted, recorded in (
        ("cores", new.get("cpu", {}).get("cores"), old.get("cpu", {}).get("cores")),
        ("memory", new.get("memory", {}).get("dedicated"), old.get("memory", {}).get("dedicated")),
    ):
        if wanted is not None and wanted == recorded and int(actual.get(key, 0)) != int(wanted):
            changes[key] = int(wanted)
    if not changes:
        return
    pulumi.log.info(f"VM {vm_id}: an earlier update failed halfway; finishing it ({', '.join(changes)})")
    api.put(f"{base}/config", changes)
    if api.get(f"{base}/status/current").get("status") == "running":
        # Cores and memory take effect when the VM starts.
        api.post(f"{base}/status/shutdown", {"forceStop": 1, "timeout": SHUTDOWN_SECONDS})
        api.post(f"{base}/status/start")


def _disk_bytes(drive: str) -> int:
    """The size of a drive such as `local-zfs:vm-1001-disk-1,iothread=1,size=20G`; 0 when it states none."""
    match = re.search(r"(?:^|,)size=(\d+(?:\.\d+)?)([KMGT]?)(?:,|$)", drive)
    return int(float(match[1]) * _UNITS[match[2]]) if match else 0
