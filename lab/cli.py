"""Runs the Pulumi CLI for a lab: stacks, configuration, updates, and recovery from interrupted ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.progress import say
from lab.session import CHECKOUT, MARKER, Session
from stacks.commands.recover import recover
from stacks.commands.stack import CommandError, Stack


class Cli:
    """The Pulumi CLI, working on one lab's own state and configuration, never on the user's."""

    def __init__(self, session: Session, pulumi: Path, extra: dict[str, str] | None = None) -> None:
        self.session = session
        self.pulumi = pulumi
        self.environment = session.environment() | {MARKER: str(session.directory)} | (extra or {})

    def capture(self, *arguments: str, given: str | None = None, cwd: Path = CHECKOUT) -> str:
        """Run a command and return what it prints. `given` goes to its standard input.

        Raises:
            LabError: if it fails, with what it said.
        """
        result = subprocess.run(
            [str(self.pulumi), *arguments, "--non-interactive"],
            cwd=cwd,
            env=self.environment,
            input=given if given is not None else "",
            text=True,
            capture_output=True,
            check=False,
        )
        if result.returncode:
            raise LabError(f"pulumi {' '.join(arguments)} failed:\n{result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def run(self, *arguments: str) -> int:
        """Run a command with its output passed through; return its exit status.

        It runs in a process group of its own. The first Ctrl-C is handed on once, so that Pulumi finishes what it is
        doing; a second one is handed on as well, and Pulumi then gives up at once.
        """
        process = subprocess.Popen(
            [str(self.pulumi), *arguments, "--non-interactive"],
            cwd=CHECKOUT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                say("\ninterrupted: Pulumi finishes what it has begun (Ctrl-C again: it gives up at once)")
                process.send_signal(signal.SIGINT)

    def init(self) -> None:
        """Make the stack if it does not exist. Its initial configuration file is the lab's, not the checkout's."""
        if self.stack_file().exists():
            return
        shutil.copyfile(CHECKOUT / "Pulumi.yaml", self.session.directory / "Pulumi.yaml")
        self.capture("stack", "init", self.session.stack, "--no-select", cwd=self.session.directory)

    def has_stack(self) -> bool:
        """Whether the lab's state holds the stack."""
        return self.stack_file().exists()

    def set_secret(self, path: str, value: str) -> None:
        """Store a secret in the lab's copy of the configuration. The value travels through standard input."""
        self.capture("config", "set", "--secret", "--path", path, given=value)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear: not for printing."""
        return dict(json.loads(self.capture("stack", "output", "--json", "--show-secrets")))

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the lab's state, without the secrets' values."""
        deployment = json.loads(self.capture("stack", "export")).get("deployment") or {}
        return list(deployment.get("resources") or [])

    def recover(self) -> None:
        """Make the stack usable again after an update that was killed, as `make recover` does on any stack.

        A lock is broken only if the process that took it is gone.
        """
        if self.refuse_if_busy():
            say("    an update was killed: its lock is removed (pulumi cancel)")
            self.capture("cancel", "--yes", self.session.stack)
        if not self.has_stack() or not self.resources():
            return
        try:
            for line in recover(Stack(self.session.stack, self.environment)):
                say(f"    {line}")
        except CommandError as error:
            say(f"    {error}\n    continuing: `up` will say what it cannot do")

    def refuse_if_busy(self) -> bool:
        """Tell whether a dead process left a lock.

        Raises:
            LabError: if a live one holds it.
        """
        # Not by a glob, which fails where the owner takes the lock away while it looks.
        kept = os.walk(self.session.state / ".pulumi/locks")
        locks = [Path(where, file) for where, _, files in kept for file in files if file.endswith(".json")]
        for lock in locks:
            if (pid := _live_owner(lock)) is not None:
                raise LabError(f"Pulumi is working on this lab (process {pid}): wait for it, or end it")
        return bool(locks)

    def stack_file(self) -> Path:
        """The file of the local backend that holds the stack; it may not exist."""
        found = list(self.session.state.glob(f".pulumi/stacks/*/{self.session.stack}.json"))
        return found[0] if found else self.session.state / "none"


def _live_owner(lock: Path) -> int | None:
    """The process id in a lock of the local backend, if a Pulumi CLI still runs under it."""
    try:
        pid = int(json.loads(lock.read_text())["pid"])
        running = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if running.startswith("pulumi") else None
