"""Tells the node simulator, in order, what machines exist and which are on.

A report that cannot be delivered is tried again until it is, before any later one. A task that takes a machine's power
away ends once the simulator has done so too, as with Proxmox VE, where it ends when the machine's process is gone: no
service of the machine answers after it. Nothing else waits for the simulator.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

log = logging.getLogger("lab.proxmox")

RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5)
"""Pauses between attempts; the last one repeats."""

POWER_OFF_SECONDS = 30.0
"""How long a task waits for a machine to be off. Where no simulator answers, the machine counts as off after it."""

FLUSH_SECONDS = 0.5
"""How long a stop waits for reports that are still on their way."""


class PowerReports:
    """A queue of reports to the node simulator on a Unix socket. Without a socket, reports are dropped."""

    def __init__(self, socket: Path | None) -> None:
        self._socket = socket
        self._queue: asyncio.Queue[tuple[str, int, dict[str, Any] | None]] = asyncio.Queue()
        self._undelivered: Counter[int] = Counter()
        self._delivered = asyncio.Condition()
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver."""
        if self._socket is not None:
            self._worker = asyncio.create_task(self._deliver(self._socket))

    def put(self, vmid: int, machine: dict[str, Any]) -> None:
        """Report a machine as it is now."""
        self._add("PUT", vmid, machine)

    def delete(self, vmid: int) -> None:
        """Report that a machine is gone."""
        self._add("DELETE", vmid, None)

    async def delivered(self, vmid: int, seconds: float = POWER_OFF_SECONDS) -> None:
        """Wait until the simulator has taken every report of a machine, for at most so many seconds."""
        try:
            async with asyncio.timeout(seconds), self._delivered:
                await self._delivered.wait_for(lambda: not self._undelivered[vmid])
        except TimeoutError:
            log.warning("the node simulator has not taken the power of machine %d away in %g s", vmid, seconds)

    def _add(self, method: str, vmid: int, body: dict[str, Any] | None) -> None:
        if self._socket is not None:
            self._undelivered[vmid] += 1
            self._queue.put_nowait((method, vmid, body))

    async def stop(self) -> None:
        """Deliver what is left within FLUSH_SECONDS, then end."""
        if self._worker is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._queue.join(), FLUSH_SECONDS)
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker

    async def _deliver(self, socket: Path) -> None:
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket)), timeout=aiohttp.ClientTimeout(total=30)
        ) as client:
            while True:
                method, vmid, body = await self._queue.get()
                await self._send(client, method, vmid, body)
                self._queue.task_done()
                async with self._delivered:
                    self._undelivered[vmid] -= 1
                    self._delivered.notify_all()

    async def _send(self, client: aiohttp.ClientSession, method: str, vmid: int, body: dict[str, Any] | None) -> None:
        attempt = 0
        while True:
            try:
                async with client.request(method, f"http://nodes/machines/{vmid}", json=body) as answer:
                    if answer.status < 500:
                        if answer.status >= 400 and not (method == "DELETE" and answer.status == 404):
                            text = (await answer.text())[:500]
                            log.error("the node simulator refuses %s /machines/%d: %s", method, vmid, text)
                        return
                    why = f"status {answer.status}"
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                why = type(error).__name__
            if attempt == 0:
                log.warning("the node simulator does not take %s /machines/%d (%s); still trying", method, vmid, why)
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1
