"""Real servers as processes of a test: on free loopback ports, with their files in the test's own directory."""

from __future__ import annotations

import contextlib
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


def free_ports(count: int) -> list[int]:
    """TCP ports of 127.0.0.1 on which nothing listens, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def free_port(address: str) -> int:
    """A TCP port of an address on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def eventually(question: Callable[[], T | None], what: str, *, seconds: float = 20) -> T:
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
