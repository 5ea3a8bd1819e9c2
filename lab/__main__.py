"""`python -m lab COMMAND`: what the Makefile's recipes run. LAB_ID in the environment names the lab, CMD a command,
ARGS what `check`, `charts` and `capacity` are given, LONG that `tools` is for the long tests too."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from lab import commands
from lab.errors import LabError
from lab.progress import say
from lab.session import Session

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in a shell."""


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    parser.add_argument(
        "command",
        choices=["tools", "check", "charts", "capacity", "up", "lab-preview", "shell", "down", "preview", "rehearse"],
    )
    parser.add_argument("stack", nargs="?", default=commands.STACK, help="for preview and rehearse")
    parser.add_argument("--config-file", type=Path, help="for these two, in place of Pulumi.<stack>.yaml")
    parser.add_argument("--json", type=Path, help="for preview: a file that gets the inputs of each resource")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _run(arguments.command, arguments.stack, arguments.config_file, arguments.json)
    except LabError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: run the same command again to continue from here")
        return INTERRUPTED


def _run(command: str, stack: str, file: Path | None, plan: Path | None) -> int:
    lab = Session(os.environ.get("LAB_ID") or commands.STACK, commands.STACK)
    match command:
        case "tools":
            return commands.tools(long=bool(os.environ.get("LONG")))
        case "check":
            return commands.check(os.environ.get("ARGS") or "")
        case "charts":
            return commands.charts(os.environ.get("ARGS") or "")
        case "capacity":
            return commands.capacity(os.environ.get("ARGS") or "")
        case "up":
            return commands.up(lab)
        case "lab-preview":
            return commands.lab_preview(lab)
        case "shell":
            return commands.shell(lab, os.environ.get("CMD") or None)
        case "down":
            return commands.down(lab)
        case "preview":
            return commands.preview(Session(f"preview-{stack}", stack, file), plan=plan)
        case _:
            return commands.rehearse(Session(f"rehearse-{stack}", stack, file))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
