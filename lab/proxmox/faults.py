# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""Faults on demand: refused and slow requests, failing tasks, failing logins, full storages, locked VMs.

Where fakepve has a facility of its own (a VM's lock, a storage's free space, a failing task) it is used; fakepve's
`fail()` matches a path's end only, so requests are matched here. Faults are not kept over a restart.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Literal, Self

from aiohttp import web
from fakepve import FakePve
from fakepve.model import PveError
from fakepve.server import API, FORMATS, ok
from pydantic import BaseModel, ConfigDict, Field, model_validator

from lab.proxmox.storage import parts_of

Kind = Literal["http", "task", "slow", "long", "login", "full", "lock", "drop", "none"]

_task_delay: ContextVar[float] = ContextVar("task_delay", default=0)
"""Seconds that a task which the current request starts is to take longer."""


class Fault(BaseModel):
    """One fault.

    http: answer matching requests with `status` and `message`. task: accept them, and let the task fail with `message`.
    slow: answer `seconds` later. long: the task that they start takes `seconds` longer. drop: carry them out, and cut
    the connection instead of answering. login: refuse passwords and tokens, and forget all sessions. full: no space on
    `storage`. lock: `vmid` is locked (`message` says by what: backup, snapshot, ...). none: no fault; removes all
    others.

    A request matches if `method` (empty: any) is its method and the regular expression `path` is found in its path
    below /api2/json. `times` ends the fault after that many requests; `seconds` ends `full` and `lock` (0: they stay).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    method: str = ""
    path: str = ""
    status: int = Field(default=500, ge=300, le=599)
    message: str = ""
    times: int | None = Field(default=None, gt=0)
    seconds: float = Field(default=0, ge=0)
    storage: str = ""
    vmid: int = 0

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        needed = {"full": "storage", "lock": "vmid", "slow": "seconds", "long": "seconds"}.get(self.kind)
        if needed and not getattr(self, needed):
            raise ValueError(f"a fault of kind {self.kind!r} needs {needed!r}")
        try:
            re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path {self.path!r} is not a regular expression: {error}") from None
        return self

    def matches(self, method: str, path: str) -> bool:
        return self.method.upper() in ("", method) and re.search(self.path, path) is not None


class Active:
    """A fault in force: its number, how often it took effect, and how many times are left (None: no limit)."""

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.hits = 0
        self.left = fault.times
        self.timer: asyncio.TimerHandle | None = None

    def view(self) -> dict[str, Any]:
        given = self.fault.model_dump(exclude_defaults=True) | {"kind": self.fault.kind}
        return {"id": self.number, **given, "hits": self.hits, "left": self.left}


class Faults(FakePve):  # type: ignore[misc]
    """Mixin: the faults in force."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.faults: dict[int, Active] = {}
        self._fault_numbers = itertools.count(1)

    def add_fault(self, fault: Fault) -> Active:
        """Put a fault in force.

        Raises:
            ValueError: if its storage or VM does not exist.
        """
        active = Active(next(self._fault_numbers), fault)
        if fault.kind == "none":
            self.clear_faults()
            return active
        if fault.kind == "full":
            if fault.storage not in self.storages:
                raise ValueError(f"storage {fault.storage!r} does not exist")
            for part in parts_of(self.storages[fault.storage]).values():
                part["avail"] = 0
        elif fault.kind == "lock":
            if self.vm(fault.vmid) is None:
                raise ValueError(f"VM {fault.vmid} does not exist: create it before it is locked")
            self.snapshot_lock(fault.vmid, fault.message or "backup")
        elif fault.kind == "login":
            self.revoke_tickets()
        self.faults[active.number] = active
        if fault.seconds and fault.kind in ("full", "lock"):
            active.timer = asyncio.get_running_loop().call_later(fault.seconds, self.remove_fault, active.number)
        return active

    def remove_fault(self, number: int) -> None:
        """End a fault and undo what it did; one that is gone already is not an error."""
        active = self.faults.pop(number, None)
        if active is None:
            return
        if active.timer:
            active.timer.cancel()
        fault = active.fault
        if fault.kind == "lock" and self.vm(fault.vmid) is not None:
            self.unlock(fault.vmid)
        elif fault.kind == "full":
            store = self.storages[fault.storage]
            for part in parts_of(store).values():
                part.pop("avail", None)
                if self.settings.datastores[fault.storage].size_gib:
                    part["avail"] = store["total"] - sum(int(v["size"]) for v in part["volumes"].values())

    def clear_faults(self) -> None:
        """End every fault."""
        for number in list(self.faults):
            self.remove_fault(number)

    def _strike(self, kinds: tuple[str, ...], method: str, path: str) -> Fault | None:
        for active in list(self.faults.values()):
            if active.fault.kind in kinds and active.fault.matches(method, path):
                active.hits += 1
                if active.left is not None:
                    active.left -= 1
                    if not active.left:
                        self.remove_fault(active.number)
                return active.fault
        return None

    def _authenticate(self, request: web.Request) -> str | None:
        logs_in = request.path in {prefix + "/access/ticket" for prefix in FORMATS}
        if logs_in or request.headers.get("Authorization", "").startswith("PVEAPIToken="):
            fault = self._strike(("login",), request.method, api_path(request))
            if fault:
                raise PveError(fault.status if "status" in fault.model_fields_set else 401, _text(fault))
        user: str | None = super()._authenticate(request)
        return user

    async def task(
        self, node: str, ttype: str, tid: Any, user: str, body: Callable[[], Awaitable[Any]], **kwargs: Any
    ) -> str:
        """Start a task, which first waits as long as a fault says."""
        delay = _task_delay.get()

        async def delayed() -> Any:
            await asyncio.sleep(delay)
            return await body()

        upid: str = await super().task(node, ttype, tid, user, delayed if delay else body, **kwargs)
        return upid

    @web.middleware
    async def inject_faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """The innermost middleware: the client is known, nothing has been done yet."""
        path = api_path(request)
        slow = self._strike(("slow",), request.method, path)
        if slow:
            await asyncio.sleep(slow.seconds)
        lasting = self._strike(("long",), request.method, path)
        _task_delay.set(lasting.seconds if lasting else 0)
        fault = self._strike(("http", "task", "drop"), request.method, path)
        if fault is not None and fault.kind == "http":
            raise PveError(fault.status, _text(fault))
        if fault is not None and fault.kind == "task":
            match = self.resolve(request, API)
            if match is None:
                raise PveError(500, f"lab: no API method at {path}, so no task of it can fail")
            node = request.match_info.get("node")
            failed: web.StreamResponse = ok(await self._failed_task(request, node, _text(fault), match))
            return failed
        response: web.StreamResponse = await handler(request)
        if fault is not None and request.transport is not None:
            request.transport.close()
            raise ConnectionResetError("lab: the answer is lost")
        return response


def api_path(request: web.Request) -> str:
    """A request's path below /api2/json, without its query."""
    for prefix in FORMATS:
        if request.path.startswith(f"{prefix}/"):
            return request.path.removeprefix(prefix)
    return request.path


def _text(fault: Fault) -> str:
    default = "authentication failure" if fault.kind == "login" else f"injected fault: {fault.kind}"
    return fault.message or default
