"""`python -m tests.lab.probing ADDRESS:PORT...`: connects to each ten times a second, as clients of a Service do.

It prints a line when each has answered once. When its standard input ends, it prints a JSON object: for each target how
many seconds passed at most between two connections that were begun one after the other and made.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time

EVERY = 0.1
"""Seconds between two connections to one target."""

WAIT = 1.0
"""Seconds after which a client tries again."""


class Target:
    """One Service, and when a connection to it was begun that was made."""

    def __init__(self, name: str) -> None:
        host, port = name.rsplit(":", 1)
        self._address = host, int(port)
        self._waiting: dict[socket.socket, float] = {}
        self._made: float | None = None
        self.due, self.longest = 0.0, 0.0

    @property
    def answered(self) -> bool:
        """Whether any connection was made."""
        return self._made is not None

    def begin(self, now: float) -> None:
        """Begins a connection, and gives up those that wait too long."""
        self.due = now + EVERY
        for each in [each for each, began in self._waiting.items() if now > began + WAIT]:
            self._waiting.pop(each)
            each.close()
        connecting = socket.socket()
        connecting.setblocking(False)
        connecting.connect_ex(self._address)
        self._waiting[connecting] = now

    def waiting(self) -> list[socket.socket]:
        """Connections that may still be made."""
        return list(self._waiting)

    def end(self, connecting: socket.socket) -> None:
        """Takes what became of one."""
        began = self._waiting.pop(connecting, None)
        with connecting:
            if began is None or connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return
        if self._made is not None:
            self.longest = max(self.longest, began - self._made)
        self._made = max(began, self._made or 0.0)

    def over(self, now: float) -> float:
        """The longest time, with that since the last connection that was made."""
        return self.longest if self._made is None else max(self.longest, now - WAIT - self._made)


def main() -> None:
    """Connect until the input ends, then print."""
    targets, begun, ended = {name: Target(name) for name in sys.argv[1:]}, False, False
    while not ended:
        now = time.monotonic()
        for each in targets.values():
            if now >= each.due:
                each.begin(now)
        owners = {connecting: each for each in targets.values() for connecting in each.waiting()}
        with contextlib.suppress(ValueError):
            readable, writable, _ = select.select([sys.stdin], owners, [], EVERY / 2)
            ended = bool(readable)
            for connecting in writable:
                owners[connecting].end(connecting)
        if not begun and all(each.answered for each in targets.values()):
            begun = True
            print("begun", flush=True)
    print(json.dumps({name: each.over(time.monotonic()) for name, each in targets.items()}))


if __name__ == "__main__":
    main()
