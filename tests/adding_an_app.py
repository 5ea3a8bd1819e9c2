"""The steps of `docs/adding-an-app.md`, read from the page and done as they are written."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.repository import copy_into

PAGE = (ROOT / "docs" / "adding-an-app.md").read_text()
NAME = "notes"
"""The application of the page."""

_STEPS = PAGE[PAGE.index("\n## 1.") : PAGE.index("\n## What else there is")]
_BLOCK = re.compile(r"^```\w+\n(?P<text>.*?)^```$|(?P<commands>(?:^    \S[^\n]*\n)+)", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(
    r"(?P<end>[Aa]t\s+the\s+end\s+of\s+)?(?:`(?P<table>[A-Z_]+)`\s+in\s+)?`(?P<file>[\w/.-]+/[\w-]+\.\w+)`"
)


@dataclass(frozen=True)
class Written:
    """A block that goes into a file: it is the whole file, or comes at its end, or at the end of a table in it."""

    file: str
    text: str
    at_end: bool = False
    table: str | None = None

    def into(self, root: Path) -> None:
        """Write it, as a person does who reads the page."""
        path = root / self.file
        if not self.at_end:
            assert not path.exists(), f"{self.file} is there already"
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.text)
        elif self.table is None:
            path.write_text(path.read_text() + self.text)
        else:
            found = re.search(rf"^{self.table} = [({{]\n.*?(?=^[)}}])", path.read_text(), re.DOTALL | re.MULTILINE)
            assert found is not None, f"{self.file} has no {self.table}"
            before, after = path.read_text()[: found.end()], path.read_text()[found.end() :]
            path.write_text(before + self.text + after)


@dataclass(frozen=True)
class Command:
    """A line for a shell."""

    line: str


def steps() -> Iterator[Written | Command]:
    """What the page says to do, in order."""
    before = 0
    for block in _BLOCK.finditer(_STEPS):
        if block["commands"]:
            yield from (Command(line.strip()) for line in block["commands"].splitlines())
        else:
            # The sentence before a block ends with where it goes.
            places = list(_PLACE.finditer(_STEPS, before, block.start()))
            assert places, f"the page does not say where this goes:\n{block['text']}"
            place = places[-1]
            yield Written(place["file"], block["text"], bool(place["end"]), place["table"])
        before = block.end()


def perform(root: Path, run: Callable[[str], None]) -> None:
    """Do every step in a copy of the repository; `run` gets each command."""
    for step in steps():
        if isinstance(step, Written):
            step.into(root)
        else:
            run(step.line)


def copy_of_the_repository(target: Path) -> None:
    """Put a copy of the repository into a directory, with the Python of the tests."""
    copy_into(target)
    if not (target / ".venv").is_symlink():
        (target / ".venv").symlink_to(sys.prefix)


def author() -> dict[str, str]:
    """Variables by which git knows whose commits these are, wherever the tests run."""
    return {f"GIT_{role}_{part}": "test@lab.invalid" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
