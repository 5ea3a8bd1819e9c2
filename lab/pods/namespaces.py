"""The namespaces of a lab with real pods, which stay after the command that made them, and how a command enters them.

Owns the process that keeps them: number 1 of its namespace, with which all others of the lab end. What runs in there is
started by commands that have entered. A rehearsal keeps none: it is number 1 itself.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab import processes
from lab.errors import LabError
from lab.packages import how_to_install
from lab.pods import nodes
from lab.session import Session

NAME = "namespaces"

_KEEP = 'trap exit TERM; touch "$1"; while :; do sleep 3600 & wait; done'
"""Ends at TERM, which number 1 would not hear without a trap, and takes leave of processes whose parents have ended."""


def kept(session: Session) -> str | None:
    """The control group of a lab's namespaces; None if the lab was begun without real pods."""
    group: str | None = session.recall(nodes.GROUP)
    return group


def keep(session: Session, directory: Path | None = None) -> tuple[str, list[str]]:
    """Make the lab's namespaces if they are not there. Gives their control group, and what puts a command into them.

    directory: in which the command runs, by default that of this process. It is looked up in there: of one that was
    open before, the kernel cannot say where it is.

    Raises:
        LabError: if a program for it is missing, or they do not come up.
    """
    nsenter = shutil.which("nsenter")
    if nsenter is None:
        raise LabError(f"PODS=real: nsenter is missing: {how_to_install(['util-linux'])}")
    group, first = kept(session), processes.running(session, NAME)
    if group is None or first is None:
        group = nodes.group()
        ready = session.directory / "namespaces.ready"
        ready.unlink(missing_ok=True)
        session.remember(**{nodes.GROUP: group})
        processes.start(session, NAME, nodes.entering(group, ["sh", "-c", _KEEP, "sh", str(ready)], stay=True))
        processes.wait_until(session, NAME, ready.exists, str(ready))
        processes.follow(session, NAME)
        first = processes.running(session, NAME)
    if first is None:
        raise LabError(f"the namespaces of the lab {session.name!r} have just ended: run the command again")
    there = directory or Path.cwd()
    return group, [nsenter, "--target", str(first.pid), *("-p", "-n", "-m", "-i", "-u"), f"--wdns={there}"]
