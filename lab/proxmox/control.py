"""The control socket: what the lab and its tests ask of the simulated Proxmox VE behind its API's back.

HTTP with JSON on a Unix socket that only its owner can use. It shows names, never secrets or request bodies.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lab.proxmox.cluster import LabPve
from lab.proxmox.faults import Fault
from lab.proxmox.state import pools
from lab.proxmox.storage import GIB, on_node, parts_of


class ForeignVm(BaseModel):
    """A VM that somebody else made, with one disk of `diskGiB` on `storage` (default: the first one for images)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vmid: int = Field(ge=100)
    node: str
    name: str
    tags: str = ""
    disk_gib: int = Field(default=8, alias="diskGiB", gt=0)
    status: str = Field(default="stopped", pattern="^(running|stopped)$")
    storage: str = ""


class Move(BaseModel):
    """A VM, and the node that it is to be on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vmid: int
    node: str


class VolumeName(BaseModel):
    """A volume; `node` is needed where the storage is local to several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    storage: str
    name: str
    node: str | None = None


class ForeignVolume(VolumeName):
    """A volume that somebody else made; `size` in bytes."""

    size: int = Field(gt=0)
    vmid: int | None = None


class Control:
    """The routes of the control socket."""

    def __init__(self, pve: LabPve) -> None:
        self._pve = pve
        self._runner: web.AppRunner | None = None

    async def start(self, path: Path) -> None:
        """Listen on the socket; one that a dead process left is replaced."""
        app = web.Application(middlewares=[_explain])
        app.add_routes(
            [
                web.get("/state", self._state),
                web.get("/requests", self._requests),
                web.post("/vms", self._plant_vm),
                web.post("/moves", self._move_vm),
                web.post("/volumes", self._plant_volume),
                web.delete("/volumes", self._drop_volume),
                web.get("/faults", self._faults),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
                web.delete("/faults/{number}", self._clear_faults),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        before = os.umask(0o177)
        try:
            await web.UnixSite(self._runner, str(path)).start()
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Close the socket and remove it."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _state(self, _request: web.Request) -> web.Response:
        pve = self._pve
        vms = [
            {
                "vmid": vm.vmid,
                "name": vm.name,
                "node": vm.node,
                "status": vm.status,
                "lock": vm.lock,
                "tags": vm.config.get("tags", ""),
                "description": vm.config.get("description", ""),
                "config": {key: value for key, value in vm.config.items() if key != "cipassword"},
                "pending": {key: value for key, value in vm.pending.items() if key != "cipassword"},
            }
            for vm in sorted(pve.vms, key=lambda vm: vm.vmid)
        ]
        volumes = pve.volumes()
        images = [volume for volume in volumes if volume["content"] in ("import", "iso", "vztmpl")]
        state = {
            "vms": vms,
            "roles": {name: sorted(privs) for name, privs in sorted(pve.roles.items())},
            "users": sorted(pve.accounts),
            "tokens": sorted(pve.account_tokens),
            "acls": pve.acls,
            "pools": pools(pve),
            "volumes": [volume for volume in volumes if volume not in images],
            "images": images,
            "requests": dict(pve.counters),
        }
        return web.json_response(state)

    async def _requests(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", "0"))
        entries = [entry for entry in self._pve.seen if entry["seq"] > since]
        return web.json_response({"requests": entries, "last": entries[-1]["seq"] if entries else since})

    async def _plant_vm(self, request: web.Request) -> web.Response:
        asked = ForeignVm.model_validate_json(await request.read())
        pve = self._pve
        if asked.node not in pve.nodes:
            raise ValueError(f"node {asked.node!r} does not exist: it is one of {', '.join(sorted(pve.nodes))}")
        for_images = [
            name
            for name, store in sorted(pve.storages.items())
            if "images" in store["content"].split(",") and asked.node in pve._storage_nodes(name)
        ]
        storage = asked.storage or next(iter(for_images), "")
        if storage not in for_images:
            raise ValueError(f"storage {storage!r} takes no images on node {asked.node!r}")
        with on_node(asked.node):
            size = asked.disk_gib * GIB
            pve.plant_vm(asked.vmid, asked.node, asked.name, asked.tags, size, asked.status, storage)
        pve.changed()
        return web.json_response({"vmid": asked.vmid}, status=201)

    async def _move_vm(self, request: web.Request) -> web.Response:
        asked = Move.model_validate_json(await request.read())
        self._pve.move_vm(asked.vmid, asked.node)
        self._pve.changed()
        return web.json_response({})

    async def _plant_volume(self, request: web.Request) -> web.Response:
        asked = ForeignVolume.model_validate_json(await request.read())
        volid = self._pve.plant_volume(asked.storage, asked.name, asked.size, asked.vmid, asked.node)
        self._pve.changed()
        return web.json_response({"volid": volid}, status=201)

    async def _drop_volume(self, request: web.Request) -> web.Response:
        """Remove the named volume; without a body, every one that no VM's configuration names."""
        body = await request.read()
        if body:
            asked = VolumeName.model_validate_json(body)
            self._pve.drop_volume(asked.storage, asked.name, asked.node)
        else:
            self._drop_unused()
        self._pve.changed()
        return web.json_response({})

    def _drop_unused(self) -> None:
        used = {str(value).split(",")[0] for vm in self._pve.vms for value in vm.config.values()}
        for sid, store in self._pve.storages.items():
            for part in parts_of(store).values():
                for name in [name for name, volume in part["volumes"].items() if volume["content"] == "images"]:
                    if f"{sid}:{name}" not in used:
                        del part["volumes"][name]

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response({"faults": [active.view() for active in self._pve.faults.values()]})

    async def _add_fault(self, request: web.Request) -> web.Response:
        active = self._pve.add_fault(Fault.model_validate_json(await request.read()))
        return web.json_response(active.view(), status=201)

    async def _clear_faults(self, request: web.Request) -> web.Response:
        number = request.match_info.get("number")
        if number is None:
            self._pve.clear_faults()
        else:
            self._pve.remove_fault(int(number))
        return web.json_response({})


@web.middleware
async def _explain(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer a refused request with what was wrong with it."""
    try:
        response: web.StreamResponse = await handler(request)
    except ValidationError as error:
        wrong = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        return web.json_response({"error": "; ".join(wrong)}, status=400)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    return response
