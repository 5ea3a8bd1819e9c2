"""Progress on standard error: stages with the time each took. Standard output stays free for results."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

LIVE_INTERVAL = 1.0
"""Seconds between two rewrites of a line on a terminal."""

LOG_INTERVAL = 15.0
"""Seconds between two lines where standard error is a file or a pipe."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Progress:
    """Collects the seconds that each stage took, for the report at the end."""

    seconds: dict[str, float] = field(default_factory=dict)
    quiet: bool = False
    """Say nothing at the start of a stage."""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce a stage and record its time, even when it fails."""
        if not self.quiet:
            say(f"==> {name}")
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


_running: dict[str, float] = {}
"""What ticks now, and since when. Builds run side by side, and a terminal has one live line."""


@contextlib.contextmanager
def ticking(label: str) -> Iterator[None]:
    """Show that something long is alive: a live line on a terminal, else a line every LOG_INTERVAL seconds."""
    live = sys.stderr.isatty()
    start = _running[label] = time.monotonic()
    stopped = threading.Event()

    def tick() -> None:
        while not stopped.wait(LIVE_INTERVAL if live else LOG_INTERVAL):
            if not live:
                say(f"    {label} ... {time.monotonic() - start:.0f} s")
            elif label == next(iter(_running), label):
                print(f"\r    {_live_line():<70}", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        stopped.set()
        thread.join()
        _running.pop(label, None)
        line = f"    {label}: {outcome} in {time.monotonic() - start:.1f} s"
        say(f"\r{line:<74}" if live else line)


def _live_line() -> str:
    now = time.monotonic()
    return ", ".join(f"{label} ... {now - since:.0f} s" for label, since in list(_running.items()))
