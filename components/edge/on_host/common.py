"""What every program on a host does in the same way: run commands, put files in place, remember what it changed.

Owns no file of its own: a program names its record. Everything is written in one step, so that whoever reads it at the
same time finds the old text or the new one, never a half.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any


class HostError(Exception):
    """What could not be done, and what to do about it; the host is as it was before that step."""


def run(command: list[str]) -> str:
    """Standard output of a command that must succeed.

    Raises:
        HostError: it did not; with what it said.
    """
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise HostError(f"{command[0]}: not found on this host") from None
    if done.returncode:
        raise HostError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def read(path: str) -> str | None:
    """A file's text, or None where there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def put(path: str, content: str | None, *, mode: int = 0o644, group: str | None = None) -> None:
    """Make a file hold `content`, or not be there for None. Without that group on the host, root's keeps it."""
    if content is None:
        if os.path.exists(path):
            os.unlink(path)
        return
    directory, name = os.path.split(path)
    # A leading dot: servers that include `directory/*` skip it.
    scratch = os.path.join(directory, f".{name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    if group is not None:
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(scratch, -1, grp.getgrnam(group).gr_gid)
    os.chmod(scratch, mode)
    os.replace(scratch, path)


def replace(files: dict[str, str | None]) -> dict[str, str | None]:
    """Put every file; gives what was there before, for a second `replace` that undoes the first."""
    before = {path: read(path) for path in files}
    for path, content in files.items():
        put(path, content)
    return before


def until(question: Callable[[], Any], seconds: float) -> Any:
    """The first answer that is true, asked again for that long; else the last one."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


class Record:
    """What a program has done on this host, for its next run and for the one that takes everything back.

    It says which cluster this host serves: a second one would overwrite the first.
    """

    def __init__(self, path: str, owner: str) -> None:
        self.path = path
        text = read(path)
        self.facts: dict[str, Any] = json.loads(text) if text else {}
        known = self.facts.get("owner", owner)
        if known != owner:
            raise HostError(f"this host serves {known} already, and can serve one cluster; {path} says so")

    @property
    def exists(self) -> bool:
        """Whether anything is recorded."""
        return bool(self.facts)

    def save(self, **facts: Any) -> None:
        """Remember these facts too."""
        self.facts.update(facts)
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        put(self.path, json.dumps(self.facts, indent=2, sort_keys=True) + "\n", mode=0o600)

    def forget(self) -> None:
        """Nothing of it is left on the host."""
        put(self.path, None)
        self.facts = {}
