"""A Pulumi program of a test's own, run by the real engine with chosen plugins and nothing else on its PATH."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import programs, session
from lab.golang import build
from lab.plugins import selection
from lab.programs import Found
from lab.session import Session


class Program:
    """The program and its stack on a file backend."""

    def __init__(self, lab: Session, text: str, secrets: Mapping[str, str]) -> None:
        self.directory = lab.directory / "program"
        self.environment = lab.environment()
        # The stack's configuration lies beside the program, where Pulumi looks for it.
        del self.environment["PULUMI_OPTION_CONFIG_FILE"]
        self.directory.mkdir()
        (self.directory / "Pulumi.yaml").write_text("name: trial\nruntime: python\n")
        (self.directory / "__main__.py").write_text(text)
        self.pulumi("stack", "init", lab.stack)
        for name, value in secrets.items():
            self.pulumi("config", "set", "--secret", name, given=value)

    def pulumi(self, *arguments: str, fails: bool = False, given: str = "") -> str:
        """Run the CLI and return all that it prints."""
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.directory,
            env=self.environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def up(self, *more: str, fails: bool = False) -> str:
        """`pulumi up`; returns all that it prints."""
        return self.pulumi("up", "--yes", "--skip-preview", *more, fails=fails)

    def set(self, **values: str) -> None:
        """Change the stack's configuration."""
        for name, value in values.items():
            self.pulumi("config", "set", name, value)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets in clear."""
        return dict(json.loads(self.pulumi("stack", "output", "--json", "--show-secrets")))


@contextlib.contextmanager
def program(root: Path, text: str, *, providers: Sequence[str], secrets: Mapping[str, str]) -> Iterator[Program]:
    """The program before its first `up`, with the stand-ins of these providers."""
    before = os.umask(0o022)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "ROOT", root / ".lab")
        lab = Session("trial", "trial")
        lab.create()
        found = {name: selection.STAND_INS[name] for name in providers}
        selection.fill(
            lab.bin,
            programs.ensure(("pulumi",))
            | {binary.name: Found(build(binary), selection.STAND_IN) for binary in found.values()}
            | {selection.LANGUAGE_HOST: Found(selection.LANGUAGE_HOST_STAND_IN, selection.STAND_IN)},
        )
        yield Program(lab, text, secrets)
    os.umask(before)
