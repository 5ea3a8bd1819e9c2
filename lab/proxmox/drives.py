# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""Drives of VMs: imported from an image, resized, changed, detached; the cloud-init drive."""

from __future__ import annotations

import re
import time
from contextvars import ContextVar
from typing import Any

from fakepve import FakePve
from fakepve.lxc import format_size
from fakepve.model import PveError, TaskError
from fakepve.qemu import DRIVE_KEY, NEW_DISK, is_cdrom, join_drive, split_drive, volume_ref
from fakepve.routing import die
from fakepve.storage import _bytes

from lab.proxmox.storage import current_node

CLOUD_INIT_BYTES = 4 * 1024**2

_destroyed: ContextVar[int | None] = ContextVar("destroyed", default=None)
"""The VM that is being destroyed; the task of the request inherits it."""


class Drives(FakePve):  # type: ignore[misc]
    """Mixin: what fakepve leaves out of a drive."""

    def _qm_check_drive(self, user: str, vmid: int, pool: Any, key: str, value: Any, default: Any) -> None:
        volume, props = split_drive(value)
        if volume.endswith(":cloudinit"):
            self._qm_image_store(volume_ref(volume)[0], user)
        source = props.get("import-from")
        if source:
            sid, name = volume_ref(source)
            if sid is None:
                if user != "root@pam":
                    raise PveError(403, "Only root can pass arbitrary filesystem paths.")
                raise die(f"importing from the path {source} is not simulated: import from a storage")
            kind, owner, _ = self._parse_volname(self._check_enabled(sid, current_node.get()), name)
            self._check_access(user, sid, kind, owner, source)
        super()._qm_check_drive(user, vmid, pool, key, value, default)

    def _qm_new_drive(self, vmid: int, key: str, value: Any, default: Any) -> tuple[str, list[str]]:
        volume, props = split_drive(value)
        props = dict(props)
        if "import-from" in props:
            return self._import(vmid, volume, props, default)
        if volume.endswith(":cloudinit"):
            sid = volume_ref(volume)[0] or default
            name = f"vm-{vmid}-cloudinit"
            if name in self.storages[sid]["volumes"]:
                pool = self.storages[sid].get("pool", "rpool/data")
                raise die(f"zfs error: cannot create '{pool}/{name}': dataset already exists")
            record = {"content": "images", "format": "raw", "size": CLOUD_INIT_BYTES, "vmid": vmid}
            self.storages[sid]["volumes"][name] = {**record, "ctime": int(time.time())}
            props.pop("format", None)
            volid = f"{sid}:{name}"
            return join_drive(volid, {**props, "media": "cdrom"}), [volid]
        drive: tuple[str, list[str]] = super()._qm_new_drive(vmid, key, value, default)
        return drive

    def _import(self, vmid: int, volume: str, props: dict[str, str], default: Any) -> tuple[str, list[str]]:
        source = props.pop("import-from")
        sid, name = volume_ref(source)
        image = self._volumes(sid).get(name)
        if image is None:
            raise die(f"volume {source} does not exist")
        wanted = NEW_DISK.match(volume)
        if wanted is None:
            raise die(f"cannot import from '{source}' - the target '{volume}' is not a storage and a size")
        props.pop("size", None)
        size = int(image["size"])
        volid, _ = self._qm_alloc(wanted.group(1) or default, vmid, props.pop("format", None), size)
        self._qm_volume(volid)["source"] = source
        return join_drive(volid, {**props, "size": format_size(size)}), [volid]

    def _routes_lab_resize(self) -> list[tuple[str, str, Any]]:
        return [("PUT", "/nodes/{node}/qemu/{vmid}/resize", self._qm_resize)]

    async def _qm_resize(self, v: dict[str, Any], user: str) -> str:
        vm = self.find(v["node"], v["vmid"])
        self._check_lock(vm)
        disk, wanted = v["disk"], str(v["size"])
        if disk not in vm.config:
            raise die(f"disk '{disk}' does not exist")
        volid, props = split_drive(vm.config[disk])
        if is_cdrom(volid, props):
            raise die("you can't resize a cdrom")
        sid, _ = volume_ref(volid)
        self.require(user, f"/storage/{sid}", "Datastore.AllocateSpace")

        async def body() -> None:
            volume = self._qm_volume(volid)
            if volume is None:
                raise TaskError(f"volume {volid} does not exist")
            size = int(volume["size"])
            new = size + _bytes(wanted[1:]) if wanted.startswith("+") else _bytes(wanted)
            if new < size:
                raise TaskError("shrinking disks is not supported")
            store = self.storages[sid]
            if "avail" in store:
                if new - size > store["avail"]:
                    raise TaskError(f"unable to write to storage '{sid}': No space left on device")
                store["avail"] -= new - size
            volume["size"] = new
            for config in (vm.config, vm.pending):
                if config.get(disk):
                    now, options = split_drive(config[disk])
                    config[disk] = join_drive(now, {**options, "size": format_size(new)})
            vm.observer(vm)

        upid: str = await self.task(vm.node, "resize", vm.vmid, user, body, vm=vm)
        return upid

    def _changed_drive(self, vm: Any, user: str, key: str, value: str) -> tuple[str, list[str]]:
        volume, props = split_drive(value)
        known = self._qm_volume(volume)
        if known is None and volume not in ("none", "cdrom"):
            self._check_lock(vm)
            if volume.endswith(":cloudinit") and key in vm.config:
                self._qm_free(split_drive(vm.config[key])[0])
            self._qm_check_drive(user, vm.vmid, None, key, value, None)
            return self._qm_new_drive(vm.vmid, key, value, None)
        props = {name: option for name, option in props.items() if name != "file"}
        if known is not None and not is_cdrom(volume, props):
            props["size"] = format_size(int(known["size"]))
        return join_drive(volume, props), []

    def _detached(self, vm: Any, values: dict[str, Any]) -> list[str]:
        """Keep a deleted disk as `unusedN`, as PVE does; returns the volumes that go for good instead.

        A volume of another VM, as those of the CSI driver are, stays on its storage and leaves no trace in the
        configuration (PVE::QemuServer::vmconfig_register_unused_drive).
        """
        gone = []
        for key in [key for key in re.split(r"[\s,;]+", str(values.get("delete") or "")) if key in vm.config]:
            volume, props = split_drive(vm.config[key])
            if key.startswith("unused") or (DRIVE_KEY.match(key) and volume.endswith("-cloudinit")):
                gone.append(volume)
            elif DRIVE_KEY.match(key) and not is_cdrom(volume, props) and self._owner(volume) == vm.vmid:
                slot = next(n for n in range(256) if f"unused{n}" not in {*vm.config, *values})
                values[f"unused{slot}"] = volume
        return gone

    def _owner(self, volume: str) -> int | None:
        """The VM whose id is in a volume's name."""
        sid, name = volume_ref(volume)
        owner: int | None = self._parse_volname(self.storages[sid], name)[1] if sid in self.storages else None
        return owner

    async def _qm_destroy(self, v: dict[str, Any], user: str) -> str:
        """Destroy a VM. Volumes of others that are attached to it stay (PVE::QemuServer::destroy_vm)."""
        token = _destroyed.set(int(v["vmid"]))
        try:
            upid: str = await super()._qm_destroy(v, user)
        finally:
            _destroyed.reset(token)
        return upid

    def _qm_free(self, volid: str) -> None:
        vmid = _destroyed.get()
        if vmid is None or self._owner(volid) == vmid:
            super()._qm_free(volid)
