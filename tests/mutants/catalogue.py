"""The catalogue of mutants: plausible breakages of the program, each of which would hurt a production cluster.

Owns the form of an entry and the check that it still fits. Runs nothing: that is `workshop.py`.

Each file of `entries/` is a list of entries:

    - name: of this entry alone
      file: what is changed, from the repository's root
      text: what stands there exactly once
      becomes: what stands there instead; empty where it is taken out
      harm: what it would do to a cluster
      tests: (optional) test files or tests that are likely to notice, run first
      slow: (optional) the test outside of the fast ones that notices, where none of them can
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).with_name("entries")
CAUGHT_BY = Path(__file__).with_name("caught_by.yaml")
"""Which test noticed a mutant the last time, by the mutant's name: it is asked first. Written by `--record`."""

RECORD = "tests/made"
"""Compares all that is made with what was made before: it notices a change, and does not say what is wrong with it."""

FAST = ("tests/unit", "tests/graph", "tests/checks", "tests/charts", "tests/commands", RECORD)
"""The fast tests: what they do not notice needs a test in the lab, or with real servers."""

PARTS = ("components", "stacks", "charts", "gitops", "checks")
"""Where mutants are: what decides what a cluster becomes, and what examines it."""


class CatalogueError(Exception):
    """An entry does not fit; the message says which, why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One entry. The module's docstring has its fields."""

    name: str
    file: str
    text: str
    becomes: str
    harm: str
    tests: tuple[str, ...] = ()
    slow: str | None = None

    def applied(self, content: str) -> str:
        """The file's content with the change.

        Raises CatalogueError unless the text is there exactly once.
        """
        found = content.count(self.text)
        if found != 1:
            raise CatalogueError(
                f"{self.name}: its text is in {self.file} {found} times; give text that is there exactly once, or "
                "remove the entry if nothing of its kind can go wrong any more"
            )
        return content.replace(self.text, self.becomes)


def load(folder: Path = FOLDER) -> list[Mutant]:
    """Every entry, in the order of files and of lines.

    Raises CatalogueError for an entry that is not of the form, and for a name that is used twice.
    """
    mutants = [_mutant(file, entry) for file in sorted(folder.glob("*.yaml")) for entry in _entries(file)]
    names = [mutant.name for mutant in mutants]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CatalogueError(f"{twice[0]}: is the name of two entries; give one of them another")
    return mutants


def _entries(file: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load(file.read_text(encoding="utf-8")) or []


def _mutant(file: Path, entry: dict[str, Any]) -> Mutant:
    known = {field.name for field in fields(Mutant)}
    label = f"{file.name}: {entry.get('name', entry)}"
    if strange := sorted(entry.keys() - known):
        raise CatalogueError(f"{label}: no field {strange[0]!r}; there are {', '.join(sorted(known))}")
    if missing := sorted(known - {"tests", "slow"} - entry.keys()):
        raise CatalogueError(f"{label}: no {missing[0]!r}; give it")
    tests = entry.get("tests") or []
    return Mutant(**{**entry, "tests": tuple([tests] if isinstance(tests, str) else tests)})


def misfits(mutants: Sequence[Mutant], root: Path) -> list[str]:
    """What is wrong with entries as the repository at `root` is: a text that does not fit, a test that is not there."""
    found = []
    for mutant in mutants:
        file = root / mutant.file
        if not file.is_file():
            found.append(f"{mutant.name}: there is no {mutant.file}; name the file that has taken its place")
            continue
        try:
            if mutant.applied(content := file.read_text(encoding="utf-8")) == content:
                found.append(f"{mutant.name}: changes nothing; let `becomes` differ from `text`")
        except CatalogueError as error:
            found.append(str(error))
        for test in (*mutant.tests, *([mutant.slow] if mutant.slow else [])):
            if not _is_there(root, test):
                found.append(f"{mutant.name}: there is no test {test}; name one that notices")
    return found


def _is_there(root: Path, test: str) -> bool:
    file, _, name = test.partition("::")
    path = root / file
    return path.exists() and (not name or f"def {name.partition('[')[0]}(" in path.read_text(encoding="utf-8"))


def sample(mutants: Sequence[Mutant], size: int, seed: str) -> list[Mutant]:
    """As many of the mutants that the fast tests have to notice; which ones, depends on `seed` alone."""
    expected = [mutant for mutant in mutants if mutant.slow is None]
    return random.Random(seed).sample(expected, min(size, len(expected)))  # noqa: S311 - nothing is kept secret by it


def caught_by(file: Path = CAUGHT_BY) -> dict[str, str]:
    """The test that noticed each mutant the last time, by the mutant's name."""
    known: dict[str, str] = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return known or {}


def record(known: dict[str, str], file: Path = CAUGHT_BY) -> None:
    """Write what `caught_by` reads; equal content gives equal bytes."""
    file.write_text(yaml.safe_dump(dict(sorted(known.items())), width=1000), encoding="utf-8")
