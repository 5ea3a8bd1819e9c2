"""Real servers as processes of a test: on free loopback ports, with their files in the test's own directory."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

READY_SECONDS = 180.0
"""How long a server may take until it answers; a machine that also compiles something is slow."""


_WORKER = int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))) or 0)
_OWN = range(12000 + 5000 * (_WORKER % 4), 17000 + 5000 * (_WORKER % 4))
_PORTS = itertools.islice(itertools.cycle(_OWN), os.getpid() % len(_OWN), None)
"""Below those that Linux gives to connections (32768 and up): between the look and the server's start nothing takes
one. Each worker of the tests has its own, and two runs begin at different ones."""


def free_ports(count: int) -> list[int]:
    """TCP ports of all addresses on which nothing listens, all different."""
    return [free_port() for _ in range(count)]


def free_port(address: str = "") -> int:
    """A TCP port of an address, or of all, on which nothing listens."""
    for port in itertools.islice(_PORTS, len(_OWN)):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((address, port))
            return port
    raise AssertionError("each port of this worker has a listener")


def eventually(question: Callable[[], T | None], what: str, *, seconds: float = 60) -> T:
    """The first answer that is not None.

    Raises:
        AssertionError: there was none in time; names `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while (answer := question()) is None:
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: no {what}"
        time.sleep(0.05)
    return answer


def _environment() -> dict[str, str]:
    """The test's own, without what would send local requests through a proxy."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def run(command: Sequence[str], *, directory: Path | None = None, stdin: str = "") -> str:
    """Standard output of a command that must succeed.

    Raises:
        AssertionError: it failed; with its standard error.
    """
    done = subprocess.run(
        list(command), cwd=directory, env=_environment(), input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def server(
    name: str,
    command: Sequence[str],
    *,
    directory: Path,
    ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator[Path]:
    """Run `command` until the end of the block, which begins once `ready` says yes; gives the path of its log.

    `environment` is added to the test's own.

    Raises:
        AssertionError: it ended, or was not ready in time; with the end of its log.
    """
    log = directory / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            cwd=directory,
            env=_environment() | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise AssertionError(f"{name} {'ended' if ended else 'is not ready'}:\n{tail}")
            time.sleep(0.05)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
