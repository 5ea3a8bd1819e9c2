"""`python -m tests.lab.asking ADDRESS NAME ANSWER`: asks for a name's IPv4 address ten times a second, as resolvers do.

It prints a line when ANSWER has come for the first time. When its standard input ends, it prints a JSON list of the
questions, in order: the second of each since the first, and whether ANSWER came. Each has a socket of its own, as each
of a resolver's does. One process asks all of them: what it does not get to ask on a busy machine does not count as
unanswered.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import secrets
import select
import socket
import struct
import sys
import time

EVERY = 0.1
"""Seconds between two questions."""

WAIT = 5.0
"""Seconds after which a resolver has long asked again: dig's own limit."""

_RECURSION_NO, _ONE = 0, 1
_A, _INTERNET = 1, 1


def question(name: str) -> bytes:
    """The message that asks for the addresses of a name: https://www.rfc-editor.org/rfc/rfc1035#section-4"""
    header = struct.pack("!6H", secrets.randbelow(1 << 16), _RECURSION_NO, _ONE, 0, 0, 0)
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return header + labels + b"\0" + struct.pack("!2H", _A, _INTERNET)


def answers(message: bytes, asked: bytes, address: bytes) -> bool:
    """Whether a message is the answer to a question, and has one record, which is this address."""
    if len(message) < len(asked) or message[:2] != asked[:2]:
        return False
    flags, _, records = struct.unpack("!3H", message[2:8])
    return flags & 0xF == 0 and records == 1 and address in message[len(asked) :]


class Asking:
    """The questions, and who waits for an answer."""

    def __init__(self, server: str, name: str, address: bytes) -> None:
        self._server, self._name, self._address = server, name, address
        self._began = time.monotonic()
        self._waiting: dict[socket.socket, tuple[int, bytes]] = {}
        self.found: list[tuple[float, bool]] = []

    def ask(self) -> None:
        """Sends one more question."""
        asked, asking = question(self._name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.found.append((time.monotonic() - self._began, False))
        try:
            asking.connect((self._server, 53))
            asking.send(asked)
        except OSError:  # nobody is there at the moment
            asking.close()
        else:
            self._waiting[asking] = len(self.found) - 1, asked

    def listen(self, seconds: float, *others: int) -> list[int]:
        """Takes what comes within a time; gives those of the other descriptors that can be read."""
        ready, _, _ = select.select([*self._waiting, *others], [], [], seconds)
        for answering in ready:
            if isinstance(answering, socket.socket):
                number, asked = self._waiting.pop(answering)
                with answering, contextlib.suppress(OSError):
                    self.found[number] = self.found[number][0], answers(answering.recv(4096), asked, self._address)
        return [each for each in ready if isinstance(each, int)]

    def patient(self) -> bool:
        """Whether any question may still be answered; forgets those that waited too long."""
        for asking, (number, _) in list(self._waiting.items()):
            if time.monotonic() - self._began > self.found[number][0] + WAIT:
                del self._waiting[asking]
                asking.close()
        return bool(self._waiting)


def main() -> None:
    """Ask until the input ends, then print."""
    asking, due = Asking(sys.argv[1], sys.argv[2], ipaddress.IPv4Address(sys.argv[3]).packed), 0.0
    begun = False
    while not asking.listen(max(0.0, due - time.monotonic()), sys.stdin.fileno()):
        if not begun and any(answered for _, answered in asking.found):
            begun = True
            print("begun", flush=True)
        if time.monotonic() >= due:
            due = time.monotonic() + EVERY
            asking.ask()
            asking.patient()
    while asking.patient():
        asking.listen(EVERY)
    print(json.dumps(asking.found))


if __name__ == "__main__":
    main()
