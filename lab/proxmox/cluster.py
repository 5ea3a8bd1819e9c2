# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""The simulated cluster as a whole: its nodes, what was asked of it, and when its state has changed."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from fakepve.model import PveError
from fakepve.server import API, USER, ok

from lab.proxmox.access import Access
from lab.proxmox.faults import Faults, api_path
from lab.proxmox.hosts import MIB
from lab.proxmox.power import PowerReports
from lab.proxmox.qemu import LabVm, Qemu, VmList
from lab.proxmox.settings import Settings
from lab.proxmox.storage import Storage, current_node, make_storage

log = logging.getLogger("lab.proxmox")

REMEMBERED_REQUESTS = 10_000
_READS = ("GET", "HEAD", "OPTIONS")
_POWER_OFF = ("qmstop", "qmshutdown", "qmdestroy")


class LabPve(Faults, Access, Qemu, Storage):
    """fakepve with what the lab adds. `changed` is called after everything that may have changed its state."""

    def __init__(self, settings: Settings, reports: PowerReports, changed: Callable[[], None]) -> None:
        super().__init__(settings.user, settings.password.get_secret_value(), settings.host, settings.port)
        self.settings = settings
        first = next(iter(settings.nodes.values())).version
        self.version, self.release_version = first, ".".join(first.split(".")[:2])
        self.time_scale = settings.time_scale
        self.nodes = {name: {"online": True} for name in settings.nodes}
        self.storages = {name: make_storage(store, list(self.nodes)) for name, store in settings.datastores.items()}
        self.reports = reports
        self.changed = changed
        self.vms = VmList(self._report, self._gone)
        self.seen: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_REQUESTS)
        self.counters: Counter[str] = Counter()
        self._sequence = itertools.count(1)
        if settings.privileges:
            self.set_up_login(settings.privileges)
        for tokenid, value in settings.tokens.items():
            self.add_token(tokenid, value.get_secret_value())

    def _report(self, vm: LabVm) -> None:
        self.announce(vm)
        self.changed()

    def _gone(self, vm: LabVm) -> None:
        """A VM was destroyed, whatever became of its disks: PVE::API2::Qemu, destroy_vm.

        https://github.com/proxmox/qemu-server/blob/master/src/PVE/API2/Qemu.pm
        """
        self.remove_access(f"/vms/{vm.vmid}")
        self.reports.delete(vm.vmid)

    def announce(self, vm: LabVm) -> None:
        """Tell the node simulator of a VM. One without a cloud-init address is not a node, and none of its business."""
        machine = self.machine(vm)
        if machine["address"]:
            self.reports.put(vm.vmid, machine)

    async def task(
        self, node: str, ttype: str, tid: Any, user: str, body: Callable[[], Awaitable[Any]], **kwargs: Any
    ) -> str:
        """Start a task; when it ends, the state is kept and a machine whose power it takes away is off."""

        async def watched() -> Any:
            try:
                result = await body()
                if ttype in _POWER_OFF:
                    await self.reports.delivered(int(tid))
                return result
            finally:
                asyncio.get_running_loop().call_soon(self.changed)

        upid: str = await super().task(node, ttype, tid, user, watched, **kwargs)
        return upid

    def bind(self) -> None:
        """Take the address without answering yet; `port` 0 becomes the port that the system chose.

        Raises:
            OSError: if the address cannot be bound.
        """
        self._socket = socket.create_server((self.host, self.port))
        self.port: int = self._socket.getsockname()[1]

    async def serve(self, certificate: str, key: str) -> None:
        """Answer on the address that `bind` took."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        self.runner = web.AppRunner(self._build_app(), access_log=None, shutdown_timeout=0.5)
        await self.runner.setup()
        await web.SockSite(self.runner, self._socket, ssl_context=context).start()

    def _build_app(self) -> web.Application:
        app: web.Application = super()._build_app()
        app.middlewares.insert(0, self._observe)
        app.middlewares.append(self.inject_faults)
        return app

    def _register_stateful(self, router: web.UrlDispatcher, prefixes: tuple[str, ...]) -> None:
        """Register the routes, and each with a trailing slash too.

        The provider deletes a VM at `/nodes/N/qemu/ID/`. PVE ignores the slash; in fakepve such a path would reach the
        catch-all, which answers with a task that does nothing.
        """
        super()._register_stateful(router, prefixes)
        for route in list(router.routes()):
            path = route.resource.canonical if route.resource else "/"
            takes_slashes = any(name in path for name in ("{volume}", "{cidr}", "/pools/{poolid}"))
            of_clients = path.startswith(f"{API}/") and route.method != "HEAD"
            if of_clients and not path.endswith("/") and not takes_slashes:
                router.add_route(route.method, f"{path}/", route.handler)

    @web.middleware
    async def _observe(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """The outermost middleware: notes each request and its answer's status; never a body or a query."""
        parts = api_path(request).split("/")
        current_node.set(parts[2] if len(parts) > 2 and parts[1] == "nodes" else None)
        status = 0
        try:
            response: web.StreamResponse = await handler(request)
            status = response.status
            return response
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self._note(request, status)

    def _note(self, request: web.Request, status: int) -> None:
        user = request.get(USER)
        entry = {"seq": next(self._sequence), "time": round(time.time(), 3), "method": request.method}
        entry |= {"path": api_path(request), "user": user, "status": status}
        self.seen.append(entry)
        self.counters["requests"] += 1
        self.counters[request.method] += 1
        self.counters["failed"] += status == 0 or status >= 400
        log.info("%s %s %s %s", request.method, entry["path"], status, user or "-")
        if request.method not in _READS:
            self.changed()

    def _record(self, request: web.Request, body: bytes) -> None:
        """fakepve keeps the bodies of requests; here nothing does."""

    async def synthesise(self, match: Any, method: str, info: Any, user: str, values: Any) -> Any:
        """Invented answers are for reading only: a change that nobody carries out must not look done."""
        if method not in _READS:
            raise PveError(501, f"lab: {method} {match.template} is not simulated")
        return await super().synthesise(match, method, info, user, values)

    def _capacity(self, node: str) -> dict[str, Any]:
        host = self.settings.nodes[node]
        return {"maxcpu": host.cores, "maxmem": host.memory_mib * MIB, "mem": self.used_memory(node)}

    async def _nodes(self, request: web.Request) -> web.StreamResponse:
        return self._with_capacity(await super()._nodes(request))

    async def _resources(self, request: web.Request) -> web.StreamResponse:
        return self._with_capacity(await super()._resources(request))

    def _with_capacity(self, response: Any) -> web.StreamResponse:
        items = json.loads(response.text)["data"]
        for item in items:
            if item["type"] == "node" and item["status"] == "online":
                item.update(self._capacity(item["node"]))
        answer: web.StreamResponse = ok(items)
        return answer
