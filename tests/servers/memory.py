"""How much memory a real program takes, beside the limit that its chart is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def peak(program: str) -> float:
    """MiB that the one running process whose executable's path has `program` in it ever had at a time."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if program in (process / "cmdline").read_text(errors="replace").split("\0")[0]:
                lines = (process / "status").read_text().splitlines()
                found += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    [only] = found
    return only


def together(processes: Iterable[str]) -> float:
    """MiB that processes, by their ids, have: what several share counts once, as in the limit of a container.

    One that has ended meanwhile has none.
    """
    used = 0.0
    for process in processes:
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            lines = Path("/proc", process, "smaps_rollup").read_text().splitlines()
            used += sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    return used


def limit(resources: Mapping[str, Any]) -> int:
    """MiB of the memory limit in a container's `resources`."""
    text = str(resources["limits"]["memory"])
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]
