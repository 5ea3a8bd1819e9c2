"""What a killed Pulumi leaves running on this machine: its provider plugins, which go on with what they had begun.

`make recover` ends them before it looks at the cluster, as what they made after that would be in no state. Owns no
process of another checkout, and none whose Pulumi still runs. Works where there is /proc; elsewhere nothing is found,
and the plugins end by themselves minutes after their engine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from stacks.commands.stack import ROOT, CommandError

END_SECONDS = 10.0
"""How long a killed process may take to be gone: it may wait for a disk."""


def orphans(root: Path = ROOT) -> list[int]:
    """Ids of the provider plugins that work for the program in `root` and whose parent is no Pulumi."""
    return [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if _program(entry.name).startswith("pulumi-resource-")
        and _link(entry / "cwd") == str(root)
        and not _program(_parent(entry)).startswith("pulumi")
    ]


def end_orphans(root: Path = ROOT) -> int:
    """End them, and tell how many there were. Raises CommandError if one stays."""
    ended: set[int] = set()
    deadline = time.monotonic() + END_SECONDS
    # One whose Pulumi ends meanwhile is ended too.
    while left := orphans(root):
        if time.monotonic() > deadline:
            raise CommandError(f"plugins of a killed Pulumi cannot be ended: {', '.join(map(str, left))}; end them")
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended.update(left)
        time.sleep(0.05)
    return len(ended)


def _program(pid: str) -> str:
    return os.path.basename(_link(Path("/proc", pid, "exe"))).removesuffix(" (deleted)")


def _parent(entry: Path) -> str:
    """The parent's process id. After the program's name, which may hold anything, it is the second field."""
    with contextlib.suppress(OSError):
        return (entry / "stat").read_text().rpartition(")")[2].split()[1]
    return ""


def _link(path: Path) -> str:
    """Where a link of /proc leads; nowhere if it is another user's, or the process is gone."""
    with contextlib.suppress(OSError):
        return os.readlink(path)
    return ""
