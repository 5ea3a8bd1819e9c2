# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""Virtual machines of the simulated Proxmox VE: configuration as PVE writes it, and power.

fakepve's own create, destroy and power actions stay; here is what they lack for a client that compares what it wrote
with what it reads back. What a VM does once it runs belongs to the node simulator.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from fakepve.lxc import format_size
from fakepve.model import FakeVm, PveError, TaskError
from fakepve.qemu import DRIVE_KEY, join_drive, split_drive, volume_ref, with_mac
from fakepve.schema import load, validate
from fakepve.server import ok, params

from lab.proxmox.drives import Drives
from lab.proxmox.hosts import Hosts
from lab.proxmox.storage import on_node, parts_of

_CLOUD_INIT = re.compile(r"^(ipconfig\d+|nameserver|searchdomain|ciuser|cipassword|citype|ciupgrade|cicustom|sshkeys)$")
_ROOT_ONLY = frozenset({"affinity", "amd-sev", "args", "hookscript"})
_BUILDING = ("create", "clone")

Observer = Callable[["LabVm"], None]


class LabVm(FakeVm):  # type: ignore[misc]
    """A VM that reports when it is complete and when its power changes."""

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        super().__setattr__(name, value)
        completed = name == "lock" and before in _BUILDING and value is None
        moved = name in ("status", "node") and before != value and self.lock not in _BUILDING
        if completed or moved:
            self.__dict__["observer"](self)


class VmList(list[Any]):
    """The cluster's VMs. One that fakepve adds becomes a LabVm; what goes is reported."""

    def __init__(self, changed: Observer, removed: Observer) -> None:
        super().__init__()
        self._changed = changed
        self._removed = removed

    def append(self, vm: Any) -> None:
        vm.__dict__["observer"] = self._changed
        vm.__class__ = LabVm
        super().append(vm)

    def remove(self, vm: Any) -> None:
        super().remove(vm)
        self._removed(vm)


class Qemu(Drives, Hosts):
    """Mixin: configuration, reset, and what is reported of a VM."""

    def plant_vm(self, vmid: int, node: str, name: str, tags: str, disk_bytes: int, status: str, storage: str) -> LabVm:
        """A VM that somebody else made.

        Raises:
            ValueError: if the id is taken.
        """
        if self._qm_taken(vmid):
            raise ValueError(f"VM {vmid} already exists on node {self.guest(vmid).node!r}: choose a free id")
        vm = FakeVm(vmid, name, node=node)
        volid, _ = self._qm_alloc(storage, vmid, None, disk_bytes)
        drive = join_drive(volid, {"size": format_size(disk_bytes)})
        vm.config.update(cores=1, memory="512", scsi0=drive, boot="order=scsi0")
        if tags:
            vm.config["tags"] = tags
        self.vms.append(vm)
        vm.observer(vm)
        if status == "running":
            vm.qmpstatus, vm.started_at, vm.status = "running", time.time(), "running"
        return vm  # type: ignore[no-any-return]

    def move_vm(self, vmid: int, node: str) -> None:
        """Have a VM on another node, with its local disks, as after a migration (PVE::QemuMigrate) or HA's recovery.

        Raises:
            ValueError: if the VM or the node does not exist.
        """
        vm = self.vm(vmid)
        if vm is None or node not in self.nodes:
            raise ValueError(f"VM {vmid} cannot move to node {node!r}: one of them does not exist")
        for key, drive in vm.config.items():
            sid, name = volume_ref(split_drive(str(drive))[0]) if DRIVE_KEY.match(key) else (None, "")
            parts = parts_of(self.storages[sid]) if sid in self.storages else {}
            if vm.node in parts and name in parts[vm.node]["volumes"]:
                parts[node]["volumes"][name] = parts[vm.node]["volumes"].pop(name)
        vm.node = node

    def _config_priv(self, key: str) -> str:
        if key in _ROOT_ONLY:
            return "root"
        return "VM.Config.Cloudinit" if _CLOUD_INIT.match(key) else str(super()._config_priv(key))

    async def _config_get(self, request: web.Request) -> web.StreamResponse:
        """The configuration as the next start will use it; `current=1` asks for the one in use."""
        vm = self._vm(request, "VM.Audit")
        asked = self._verify(request, await params(request))
        config = dict(vm.config)
        for key, value in {} if asked.get("current") else vm.pending.items():
            config[key] = value
        config = {key: value for key, value in config.items() if value is not None}
        if "memory" in config:
            config["memory"] = str(config["memory"])
        if "cipassword" in config:
            config["cipassword"] = "**********"
        response: web.StreamResponse = ok({**config, "digest": vm.digest()})
        return response

    async def _apply_config(self, vm: Any, user: str, p: dict[str, Any]) -> None:
        """Write a configuration as PVE does: typed numbers, drives with their sizes, nets with their MACs.

        The values arrive as text from a form; PVE answers numbers as numbers, and clients insist on it.
        """
        method = load().paths["/nodes/{node}/qemu/{vmid}/config"]["PUT"]
        values, _ = validate(method["parameters"], {**p, "node": vm.node, "vmid": vm.vmid})
        values = {key: value for key, value in values.items() if key not in ("node", "vmid", "background_delay")}
        made: list[str] = []
        self.require_bridges(user, values)
        try:
            for key in sorted(values):
                if DRIVE_KEY.match(key):
                    values[key], volumes = self._changed_drive(vm, user, key, str(values[key]))
                    made += volumes
                elif re.fullmatch(r"net\d+", key):
                    values[key] = with_mac(values[key])
                elif key == "tags":
                    tags = {tag.lower() for tag in re.split(r"[;, ]+", str(values[key])) if tag}
                    values[key] = ";".join(sorted(tags))
            detached = self._detached(vm, values)
            await super()._apply_config(vm, user, values)
        except (PveError, TaskError):
            for volid in made:
                self._qm_free(volid)
            raise
        for volid in detached:
            self._qm_free(volid)

    def _routes_lab_cloud_init(self) -> list[tuple[str, str, Any]]:
        return [("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit", self._rebuild_cloud_init)]

    async def _rebuild_cloud_init(self, values: dict[str, Any], _user: str) -> None:
        """Write the drive anew. It has no content here: a machine reads the configuration when it starts."""
        self._check_lock(self.guest(int(values["vmid"])))

    async def _do_reset(self, vm: Any, user: str, _p: dict[str, Any]) -> str:
        """Reset: fakepve notes only the time; the machine itself goes off and on again."""

        async def body() -> None:
            vm.status = "stopped"
            vm.started_at = time.time()
            vm.status = "running"

        self._need_running(vm)
        self._check_lock(vm)
        upid: str = await self.task(vm.node, "qmreset", vm.vmid, user, body, vm=vm)
        return upid

    def machine(self, vm: Any) -> dict[str, Any]:
        """What the node simulator is told of a VM."""
        config = vm.config
        mac = re.search(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", str(config.get("net0", "")))
        address = re.search(r"(?:^|,)ip=([^,/]+)", str(config.get("ipconfig0", "")))
        volume = self._disk(vm, "scsi0")
        source = str(volume.get("source") or "")
        return {
            "name": vm.name,
            "address": address.group(1) if address else "",
            "mac": mac.group(0) if mac else "",
            "cores": int(config.get("cores", 1)) * int(config.get("sockets", 1)),
            "memoryMiB": int(str(config.get("memory", 512)).split("=")[-1]),
            "diskBytes": int(volume.get("size") or 0),
            "host": vm.node,
            "image": source.rsplit("/", 1)[-1],
            "on": vm.status == "running",
        }

    def _disk(self, vm: Any, key: str) -> dict[str, Any]:
        with on_node(vm.node):
            return self._qm_volume(split_drive(str(vm.config.get(key, "")))[0]) or {}
