"""Waiting for a node or the cluster to say what is wanted of it.

Owns the loop and its messages. Asks nothing itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pulumi

from components.talos.api import TalosError

POLL_SECONDS = 1.0
PROGRESS_SECONDS = 15.0
"""Seconds between two lines that tell what is waited for."""


async def until(what: str, probe: Callable[[], Awaitable[str | None]], timeout: float, remedy: str) -> None:
    """Repeats `probe` until it returns None; anything else that it returns is shown as the reason for waiting.

    timeout: seconds.

    Raises:
        TalosError: with the last reason and the remedy, when the time is over.
    """
    started = reported = time.monotonic()
    while True:
        try:
            reason = await probe()
        except TalosError as error:
            reason = str(error)
        if reason is None:
            return
        now = time.monotonic()
        if now - started > timeout:
            raise TalosError(f"{what}: {reason} (waited {timeout:.0f} s); {remedy}")
        if now - reported > PROGRESS_SECONDS:
            reported = now
            pulumi.log.info(f"waiting for {what}: {reason} ({now - started:.0f} s)")
        await asyncio.sleep(POLL_SECONDS)
