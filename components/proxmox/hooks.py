"""What is checked in Proxmox around an operation, because the provider does not.

Owns four checks and an explanation, all in `up` and none in a preview:

- before anything is created: Proxmox accepts the login, the provider accepts Proxmox's certificate, the hosts and
  datastores exist, and no planned VM id is taken by a VM that is not this stack's. The provider would adopt such a VM
  and `destroy` would delete it.
- before one VM is created: its id is free, or is held by an orphan of an interrupted `up` of this stack; and nothing
  answers yet at the address that its node is to have.
- before a disk of a VM is changed: no volume is attached to the VM. The provider would detach every disk that it does
  not know (measured), and with it the volumes of running pods.
- before one VM is updated: what an earlier, failed update left undone is completed. After such a failure the provider's
  state claims values that the VM does not have, and a plain rerun would keep them (measured: a failed resize, a locked
  VM).
- after an operation failed because of the login or the certificate: what to do is said, once.

A VM is this stack's when it carries the stack's tag, which is part of the call that creates it.
Does not own how a node leaves and rejoins its cluster: see `components/talos/hooks.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi

from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.trust import DISTRUSTED, accepted_by_plugin, plugin_remedy
from components.talos.api import PORT, answers
from components.talos.power import SHUTDOWN_SECONDS

_LOGIN_REFUSED = ("HTTP 401", "failed to authenticate")
"""How the provider words it; Proxmox answers 401 to a session or token that is unknown or no longer valid."""

_ADDRESS_TIMEOUT = 2.0
"""Seconds; a new cluster waits this long for each node."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class PlannedVm:
    """What the settings say about one VM: its id, the Proxmox host it is to run on, and its node's address."""

    vm_id: int
    host: str
    address: str


@dataclass(frozen=True, kw_only=True)
class ProxmoxChecks:
    """The checks for one stack.

    tag: the tag that marks this stack's VMs.
    vms: every planned VM by name.
    datastores: per host the datastores that must exist, each with the content types it must take, joined by commas.
    """

    login: ProxmoxLogin
    tag: str
    vms: Mapping[str, PlannedVm]
    datastores: Mapping[str, Mapping[str, str]]
    _told: list[str] = field(default_factory=list)
    """The resource whose failure was explained; the others of the same update fail for the same reason."""

    def before_anything(self) -> pulumi.ResourceHook:
        """For the Proxmox provider itself: every resource in Proxmox depends on it, so a refusal is reported once."""

        async def site_is_ready(_: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await asyncio.to_thread(self._check_plugin)
            await asyncio.to_thread(self._check_site, api)

        return pulumi.ResourceHook("proxmox-is-ready", site_is_ready)

    def before_create(self) -> pulumi.ResourceHook:
        """For each VM."""

        async def vm_id_is_free(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            found = await asyncio.to_thread(_vms, api)
            vm_id = int(_plain(args.new_inputs, "vmId"))
            self._check_vm(args.name, vm_id, _plain(args.new_inputs, "nodeName"), found)
            if vm_id not in found:
                await self._check_address(args.name)

        return pulumi.ResourceHook("vm-id-is-free", vm_id_is_free)

    def before_update(self) -> pulumi.ResourceHook:
        """For each VM, after the hook that asks the cluster (`components/talos/hooks.py`)."""

        async def vm_is_as_recorded(args: pulumi.ResourceHookArgs) -> None:
            api = await self.login.connect()
            await asyncio.to_thread(_refuse_to_detach_volumes, api, args)
            await asyncio.to_thread(_finish_earlier_update, api, args)

        return pulumi.ResourceHook("vm-is-as-recorded", vm_is_as_recorded)

    def on_error(self) -> pulumi.ErrorHook:
        """For everything in Proxmox: says once what to do about a login or a certificate that is refused in an `up`."""

        async def lost_access_is_told(args: pulumi.ErrorHookArgs) -> bool:
            if not self._told and (explanation := await self._explain(args.errors or [])):
                self._told.append(args.name)
                pulumi.log.error(f"{explanation}. What was made until then is recorded: `pulumi up` goes on from there")
            return False

        return pulumi.ErrorHook("lost-access-is-told", lost_access_is_told)

    async def _explain(self, errors: Sequence[str]) -> str | None:
        """What to do about a certificate or a login that was refused; None if the errors are about something else."""
        if any(DISTRUSTED in error for error in errors):
            return plugin_remedy(self.login.endpoint)
        if not any(sign in error for error in errors for sign in _LOGIN_REFUSED):
            return None
        try:
            await self.login.connect()
        except ProxmoxError as error:
            return str(error)
        return f"Proxmox at {self.login.endpoint} ended the session in the middle of this update"

    def _check_plugin(self) -> None:
        """Raises ProxmoxError when the provider, which is not given the site's authority, would refuse it."""
        if not self.login.insecure and not accepted_by_plugin(self.login.endpoint, os.environ):
            raise ProxmoxError(plugin_remedy(self.login.endpoint))

    def _check_site(self, api: ProxmoxApi) -> None:
        hosts = {entry["node"]: entry for entry in api.get("/nodes")}
        for host, datastores in self.datastores.items():
            if hosts.get(host, {}).get("status") != "online":
                raise ProxmoxError(
                    f"Proxmox at {api.endpoint} has no online host {host}; "
                    f"it has {', '.join(sorted(hosts)) or 'none'}: correct homelab:site.hosts, or start the host"
                )
            offered = {s["storage"]: s.get("content", "").split(",") for s in api.get(f"/nodes/{host}/storage")}
            for datastore, wanted in datastores.items():
                if datastore not in offered:
                    raise ProxmoxError(
                        f"host {host} has no datastore {datastore}; it has {', '.join(sorted(offered))}: "
                        f"correct homelab:site.hosts.{host} or homelab:storage.datastore, or create it"
                    )
                missing = [content for content in wanted.split(",") if content not in offered[datastore]]
                if missing:
                    raise ProxmoxError(
                        f"datastore {datastore} on host {host} does not take content type {' and '.join(missing)}; "
                        f"allow it: pvesm set {datastore} --content {','.join([*offered[datastore], *missing])}"
                    )
        found = _vms(api)
        for name, vm in self.vms.items():
            self._check_vm(name, vm.vm_id, vm.host, found)

    def _check_vm(self, name: str, vm_id: int, host: str, found: Mapping[int, Mapping[str, Any]]) -> None:
        """Raises ProxmoxError unless `vm_id` is free or held by a VM of this stack on `host`."""
        vm = found.get(vm_id)
        if vm is None:
            return
        described = f"VM {vm_id} ({vm.get('name', 'unnamed')!r} on host {vm['node']}, {vm.get('status', 'unknown')})"
        if self.tag not in re.split("[;, ]", vm.get("tags") or ""):
            raise ProxmoxError(
                f"{described} is not this stack's: it lacks the tag {self.tag}. It was not touched. "
                f"Give {name} another vmId in homelab:nodes, or remove that VM yourself"
            )
        if vm["node"] != host:
            raise ProxmoxError(
                f"{described} is this stack's, but the settings place {name} on host {host}. It was not touched. "
                f"Migrate it: qm migrate {vm_id} {host} (on {vm['node']}), "
                f"or set host: {vm['node']} in homelab:nodes.{name}"
            )
        if vm.get("name") != name:
            raise ProxmoxError(
                f"{described} is this stack's, under another name than {name}. It was not touched. A node with another "
                f"name is another node: give {name} a vmId and an address of its own in homelab:nodes, or remove the "
                "old one first, by a `pulumi up` without either"
            )
        pulumi.log.info(f"{described} is an orphan of an earlier run of this stack; taking it back")

    async def _check_address(self, name: str) -> None:
        """Raises ProxmoxError when the node's address is in use, as by the node that had it under another name."""
        address = self.vms[name].address
        if await answers(address, _ADDRESS_TIMEOUT):
            raise ProxmoxError(
                f"{name} is to have address {address}, where another machine answers on port {PORT}; no VM was made. "
                f"Give {name} another address in homelab:nodes; or, if the other is a node that the settings have no "
                "more, remove it first, by a `pulumi up` without either"
            )


def _vms(api: ProxmoxApi) -> dict[int, Mapping[str, Any]]:
    """Every guest of the site by id; containers share the id space."""
    return {int(entry["vmid"]): entry for entry in api.get("/cluster/resources?type=vm")}


def _plain(inputs: Mapping[str, Any] | None, key: str) -> Any:
    if inputs is None or key not in inputs:
        raise ProxmoxError(f"the engine gave no {key} for this VM, so it cannot be checked; nothing was changed")
    return inputs[key]


def _refuse_to_detach_volumes(api: ProxmoxApi, args: pulumi.ResourceHookArgs) -> None:
    """Raises ProxmoxError when disks change on a VM that has further disks attached, as by a CSI driver."""
    old, new = args.old_inputs or {}, args.new_inputs or {}
    if _lasting(old) == _lasting(new):
        return
    vm_id, host = int(_plain(new, "vmId")), _plain(new, "nodeName")
    config = api.get(f"/nodes/{host}/qemu/{vm_id}/config")
    known = {disk["interface"] for disk in [*(old.get("disks") or []), *(new.get("disks") or [])]}
    volumes = [
        f"{key}: {str(drive).partition(',')[0]}"
        for key, drive in sorted(config.items())
        if re.fullmatch(r"(?:scsi|virtio|sata)\d+", key) and key not in known and "media=cdrom" not in str(drive)
    ]
    if volumes:
        raise ProxmoxError(
            f"VM {vm_id} ({args.name}) has volumes attached, which changing its disks would detach from running pods "
            f"({', '.join(volumes)}); nothing was changed. Move its pods away first: kubectl drain {args.name} "
            "--ignore-daemonsets --delete-emptydir-data; then run `pulumi up` again, and kubectl uncordon "
            f"{args.name}"
        )


def _lasting(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A VM's disks without the properties that are ignored once they exist."""
    return [
        {key: value for key, value in disk.items() if key not in ("importFrom", "speed")}
        for disk in properties.get("disks") or []
    ]


def _finish_earlier_update(api: ProxmoxApi, args: pulumi.ResourceHookArgs) -> None:
    """Gives the VM what the state says it has and the new inputs still want: cores, memory, size of the first disk."""
    old, new = args.old_outputs or {}, args.new_inputs or {}
    vm_id, host = int(_plain(new, "vmId")), _plain(new, "nodeName")
    base = f"/nodes/{host}/qemu/{vm_id}"
    actual = api.get(f"{base}/config")
    changes: dict[str, Any] = {}
    for key, wanted, recorded in (
        ("cores", new.get("cpu", {}).get("cores"), old.get("cpu", {}).get("cores")),
        ("memory", new.get("memory", {}).get("dedicated"), old.get("memory", {}).get("dedicated")),
    ):
        if wanted is not None and wanted == recorded and int(actual.get(key, 0)) != int(wanted):
            changes[key] = int(wanted)
    disk_new, disk_old = _first_disk(new), _first_disk(old)
    resize = (
        disk_new is not None
        and disk_old is not None
        and disk_new["size"] == disk_old["size"]
        and 0 < _disk_bytes(actual.get(disk_new["interface"], "")) < int(disk_new["size"]) * 2**30
    )
    if not changes and not resize:
        return
    pulumi.log.info(
        f"VM {vm_id}: an earlier update failed halfway; finishing it ({', '.join([*changes, *['disk'] * resize])})"
    )
    if changes:
        api.put(f"{base}/config", changes)
    if resize and disk_new is not None:
        api.put(f"{base}/resize", {"disk": disk_new["interface"], "size": f"{int(disk_new['size'])}G"})
    if changes and api.get(f"{base}/status/current").get("status") == "running":
        # Cores and memory take effect when the VM starts.
        api.post(f"{base}/status/shutdown", {"forceStop": 1, "timeout": SHUTDOWN_SECONDS})
        api.post(f"{base}/status/start")


def _first_disk(properties: Mapping[str, Any]) -> Mapping[str, Any] | None:
    disks = properties.get("disks") or []
    return disks[0] if disks else None


def _disk_bytes(drive: str) -> int:
    """The size of a drive such as `local-zfs:vm-1001-disk-1,iothread=1,size=20G`; 0 when it states none."""
    match = re.search(r"(?:^|,)size=(\d+(?:\.\d+)?)([KMGT]?)(?:,|$)", drive)
    return int(float(match[1]) * _UNITS[match[2]]) if match else 0
