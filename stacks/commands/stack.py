"""What the commands share: the stack with its file and its kubeconfig, `pulumi` and `kubectl`, one error.

Owns how a command finds the stack's file and runs other programs, and how it says what went wrong: one line on standard
error, and exit status 1. Does not own what a command does. No secret is in an argument or in an error: it goes to a
program on its standard input, or in a file that nobody else reads.

The file is Pulumi.<stack>.yaml, or the one that Pulumi's own option names. `--config-file` is an option of some Pulumi
commands only (not of `pulumi stack`), but every one of them takes it from the environment.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from stacks.settings import stack_file

ROOT = Path(__file__).resolve().parents[2]

CONFIG_FILE = "PULUMI_OPTION_CONFIG_FILE"
"""The environment variable for Pulumi's option --config-file."""

Finished = subprocess.CompletedProcess[str]
"""A program that ended, with what it printed."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class CommandError(Exception):
    """The command cannot do what it was asked; the message says why, and what helps."""


@dataclass(frozen=True)
class Stack:
    """A stack of this program, and the environment in which it is worked on."""

    name: str
    environment: Mapping[str, str]
    """That of `pulumi` and `kubectl`. A file that it names in PULUMI_OPTION_CONFIG_FILE is relative to `root`."""
    root: Path = ROOT
    """The directory with Pulumi.yaml."""

    @classmethod
    def chosen(cls, arguments: argparse.Namespace) -> Stack:
        """The one that the arguments name, whose options `take_stack` gave to their parser.

        Raises CommandError if they or the environment name a file that is not there: Pulumi would go on without
        settings.
        """
        environment = dict(os.environ)
        if file := arguments.config_file or environment.get(CONFIG_FILE):
            # A person means their own directory, and Pulumi runs in the program's.
            environment[CONFIG_FILE] = str(Path(file).absolute())
            _there(Path(environment[CONFIG_FILE]))
        return cls(arguments.stack, environment)

    @property
    def file(self) -> Path:
        """The stack's file. Raises CommandError if there is none."""
        if given := self.environment.get(CONFIG_FILE):
            return _there(self.root / given)
        file = self.root / f"Pulumi.{self.name}.yaml"
        if not _NAME.fullmatch(self.name) or not file.is_file():
            found = self.root.glob("Pulumi.*.yaml")
            there = sorted(path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in found)
            raise CommandError(f"{self.name!r} is not a stack; give STACK=<name>, one of {', '.join(there)}")
        return file

    def text(self) -> str:
        """The stack's file, its line endings as they are. Raises CommandError if it cannot be read."""
        return read(self.file)

    def config(self) -> dict[str, Any]:
        """The settings in the stack's file by key. Raises CommandError as `text` and `document`."""
        return config(self.text())

    def pulumi(self, *arguments: str, given: str = "", progress: bool = False) -> str:
        """What `pulumi` prints for this stack; arguments as in `execute`."""
        command = ["pulumi", *arguments, "--stack", self.name, "--non-interactive"]
        return execute(command, self.environment, self.root, given=given, progress=progress).stdout

    @contextmanager
    def kubeconfig(self) -> Iterator[Path]:
        """The environment's kubeconfig or, where there is none, the stack's; in a file, while the context lasts."""
        if given := self.environment.get("KUBECONFIG"):
            yield Path(given)
            return
        try:
            found = self.pulumi("stack", "output", "kubeconfig", "--show-secrets")
        except CommandError as error:
            raise CommandError(
                f"no kubeconfig for stack {self.name}: {error}; set KUBECONFIG, or log in to its state"
            ) from None
        with private_file(found) as file:
            yield file


def take_stack(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options that name a stack."""
    parser.add_argument("--stack", required=True)
    take_config_file(parser)


def take_config_file(parser: argparse.ArgumentParser) -> None:
    """Give a parser Pulumi's option for another file than Pulumi.<stack>.yaml."""
    parser.add_argument("--config-file", metavar="FILE", help="instead of Pulumi.<stack>.yaml, as in `pulumi up`")


def run(command: str, act: Callable[[], None]) -> int:
    """Do what a command is for. Returns its exit status; what went wrong is said in one line."""
    try:
        act()
    except CommandError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    return 0


def read(file: Path) -> str:
    """The text in a file, its line endings as they are. Raises CommandError if it cannot be read."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"{file}: cannot be read: {reason}") from None


def document(text: str) -> dict[str, Any]:
    """What is in the text of a stack's file. Raises CommandError if the engine would refuse or misread it."""
    try:
        return stack_file.parse(text)
    except stack_file.StackFileError as error:
        raise CommandError(f"the stack's file: {error}; fix that first") from None


def config(text: str) -> dict[str, Any]:
    """The settings in the text of a stack's file, by key; none if it has none. Raises CommandError as `document`."""
    found = document(text).get("config")
    return found if isinstance(found, dict) else {}


def kubectl(kubeconfig: Path, environment: Mapping[str, str], *arguments: str, given: str = "") -> Finished:
    """What `kubectl` says of the cluster of a kubeconfig; arguments as in `execute`."""
    options = ["--kubeconfig", str(kubeconfig)]
    return execute(["kubectl", *arguments], environment, given=given, options=options)


def execute(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path = ROOT,
    *,
    given: str = "",
    options: Sequence[str] = (),
    progress: bool = False,
) -> Finished:
    """What a program on the environment's PATH says.

    Args:
        command: the program and its arguments; no secret.
        environment: what it runs in.
        directory: where it runs.
        given: its standard input.
        options: of the program, before its arguments; no secret.
        progress: whether it prints its progress and no data; then that may be in an error, too.

    Raises CommandError with the command's words and the end of what it said, if it fails.
    """
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise CommandError(f"{command[0]} is not on PATH; install it")
    done = subprocess.run(
        [program, *options, *command[1:]],
        cwd=directory,
        env=dict(environment),
        input=given,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = [line.strip() for line in ((done.stdout if progress else "") + done.stderr).splitlines() if line.strip()]
        errors = [line.removeprefix("error: ") for line in said if "error" in line.lower()] or said
        words = " ".join(takewhile(lambda word: not word.startswith("-"), command))
        raise CommandError(f"{words}: " + ("; ".join(errors[-3:]) or f"failed with exit status {done.returncode}"))
    return done


def value_from_input(example: str) -> bytes:
    """A secret value: typed without being shown, or all of standard input, byte for byte.

    Raises CommandError, which shows `example` of a command line, if there is none.
    """
    if sys.stdin.isatty():
        return getpass.getpass("Value (not shown): ").encode()
    value = sys.stdin.buffer.read()
    if not value:
        raise CommandError(f"there is no value on standard input; pipe it in, for example: {example}")
    if value.endswith(b"\n"):
        print(
            "note: the value ends with a line break, which is kept; printf %s prints a text without one",
            file=sys.stderr,
        )
    return value


@contextmanager
def private_file(text: str) -> Iterator[Path]:
    """A file with a secret text that nobody else reads, for as long as the context lasts."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "secret"
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        yield file


def _there(file: Path) -> Path:
    if not file.is_file():
        raise CommandError(f"{file}: there is no such file; give another CONFIG_FILE=, or none")
    return file
