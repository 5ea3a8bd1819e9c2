"""Starts and stops the lab's processes, and finds them again after the launcher itself was killed.

Every process is the leader of a session of its own, has a file with its id and start time (so that a reused id is not
mistaken for it), and carries the lab's marker in its environment. The marker also leads to what a process has started:
whatever carries it belongs to this lab, in whichever process group it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.session import CHECKOUT, MARKER, Session, outer_environment, write_private

END_SECONDS = 10.0
"""How long a process has to end after a signal."""

READY_SECONDS = 60.0
"""How long a process may take until it answers."""


@dataclass(frozen=True)
class Process:
    """A process by its id and its start time in clock ticks since boot."""

    pid: int
    started: int

    def alive(self) -> bool:
        """Whether exactly this process still runs; a zombie does not."""
        stat = _stat(self.pid)
        return stat is not None and stat[1] == self.started and stat[0] not in "ZX"


def start(session: Session, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> bool:
    """Start a process unless it runs already. Its output is appended to `logs/<name>.log`. Tells whether it started."""
    if running(session, name):
        return False
    log = os.open(session.logs / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = subprocess.Popen(
            list(command),
            cwd=CHECKOUT,
            env=outer_environment() | {MARKER: str(session.directory)} | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    finally:
        os.close(log)
    _note(session, name, child.pid)
    return True


def follow(session: Session, name: str) -> None:
    """Take the only child of a process for the process of that name from now on.

    Raises:
        LabError: if it has none, or several.
    """
    parent = running(session, name)
    numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    children = [pid for pid in numbers if parent is not None and _parent(pid) == parent.pid]
    if len(children) != 1:
        raise LabError(f"{name}: {len(children)} processes were started by it, not one")
    _note(session, name, children[0])


def _note(session: Session, name: str, pid: int) -> None:
    stat = _stat(pid)
    write_private(session.pids / f"{name}.json", json.dumps({"pid": pid, "started": stat[1] if stat else 0}))


def running(session: Session, name: str) -> Process | None:
    """The live process of that name."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        known = json.loads((session.pids / f"{name}.json").read_text())
        process = Process(int(known["pid"]), int(known["started"]))
        return process if process.alive() else None
    return None


def wait_until(session: Session, name: str, ready: Callable[[], bool], what: str) -> None:
    """Wait until a process is ready for work.

    Raises:
        LabError: if it ends, or is not ready within READY_SECONDS; with the end of its log.
    """
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        if not running(session, name) or time.monotonic() > deadline:
            log = session.logs / f"{name}.log"
            tail = "\n".join(f"      {line}" for line in log.read_text(errors="replace").splitlines()[-8:])
            state = f"does not answer on {what}" if running(session, name) else f"ended before it answered on {what}"
            raise LabError(f"{name} {state}:\n{tail}\n  The whole log: {log}")
        time.sleep(0.05)


def listening(host: str, port: int) -> bool:
    """Whether something accepts TCP connections there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


def stop_all(session: Session) -> int:
    """End every process of the lab, its leaders first, so that they can end what they started. Tells how many ran.

    Raises:
        LabError: if one cannot be ended.
    """
    everything = members(session)
    leaders = [process for file in session.pids.glob("*.json") if (process := running(session, file.stem))]
    _end(leaders, signal.SIGTERM)
    _end(members(session), signal.SIGTERM)
    deadline = time.monotonic() + END_SECONDS
    while left := members(session):
        if time.monotonic() > deadline:
            raise LabError(f"these processes cannot be ended: {', '.join(str(process.pid) for process in left)}")
        _end(left, signal.SIGKILL)
    for file in session.pids.glob("*.json"):
        file.unlink()
    return len(everything)


def members(session: Session) -> list[Process]:
    """Every live process of this lab, except this one and those that it descends from.

    That is what carries the marker, and the provider plugins left behind by a Pulumi CLI that was killed in the
    lab's shell. The shell itself, and what else a user runs in it, is not the lab's.
    """
    marker = f"{MARKER}={session.directory}".encode()
    shell = f"HOMELAB_LAB_DIRECTORY={session.directory}".encode()
    own = _ancestors()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            runs = program(int(entry.name))
        except OSError:
            continue
        stat = _stat(int(entry.name))
        ours = marker in environment or (shell in environment and runs.startswith("pulumi-"))
        if ours and stat is not None and (process := Process(int(entry.name), stat[1])).alive():
            found.append(process)
    return found


def program(pid: int) -> str:
    """The file name of what a process runs. Raises OSError where it has gone, or is somebody else's."""
    return os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")


def _end(processes: Sequence[Process], number: signal.Signals) -> None:
    """Send a signal and wait until the processes are gone, END_SECONDS at most."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            if process.alive():
                os.kill(process.pid, number)
    deadline = time.monotonic() + END_SECONDS
    while any(process.alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)


def _ancestors() -> set[int]:
    found = {os.getpid()}
    pid = os.getppid()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = _parent(pid) or pid
    return found


def _parent(pid: int) -> int | None:
    """The process that started another; None if there is no such process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return None


def _stat(pid: int) -> tuple[str, int] | None:
    """A process's state letter and start time, or None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return fields[0], int(fields[19])
