"""`python -m tests.unit.parts_page` writes docs/parts.md: each system, where it is declared, and how it is proved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

SOURCE, PAGE = ROOT / "tests" / "unit" / "parts.yaml", ROOT / "docs" / "parts.md"

_HEAD = """\
# What the platform consists of

Each system, the files that declare it, and the tests that show it at work; [proof.md](proof.md) says of what kind a
proof is, and what stands beside it. Nobody edits this page: `tests/unit/parts.yaml` is its source, and
`python -m tests.unit.parts_page` writes it. A row cannot name a file or a test that is not there.
"""

_KEYS = {"system", "declared", "proved", "note"}


@dataclass(frozen=True)
class Part:
    """A row."""

    section: str
    system: str
    declared: tuple[str, ...]
    proved: tuple[str, ...]
    note: str = ""


def parts(text: str) -> list[Part]:
    """The rows of the source. Raises ValueError for a key that no row has, and a note that is no text to YAML."""
    found = []
    for section, rows in yaml.safe_load(text).items():
        for row in rows:
            if unknown := sorted(row.keys() - _KEYS):
                raise ValueError(f"{row['system']}: {unknown[0]!r} is no key of a row; there are {sorted(_KEYS)}")
            if not isinstance(row.get("note", ""), str):
                raise ValueError(f"{row['system']}: the note is {row['note']!r} to YAML; put it in quotes")
            found.append(
                Part(section, row["system"], tuple(row["declared"]), tuple(row["proved"]), row.get("note", ""))
            )
    return found


def wrong(rows: list[Part], root: Path = ROOT) -> Iterator[str]:
    """What is wrong with rows: a file or test that is not there, or nothing where something has to be."""
    for row in rows:
        if not row.declared:
            yield f"{row.system}: declared nowhere"
        if not row.proved and not row.note:
            yield f"{row.system}: not proved; name a test, or say so in a note"
        for named in (*row.declared, *row.proved):
            file, _, test = named.partition("::")
            if not (root / file).is_file():
                yield f"{row.system}: there is no file {file}"
            elif test and not re.search(rf"^def {re.escape(test)}\(", (root / file).read_text(), re.MULTILINE):
                yield f"{row.system}: there is no test {test} in {file}"
        for named in row.proved:
            if not re.fullmatch(r"tests/(\w+/)+test_\w+\.py(::test_\w+)?", named):
                yield f"{row.system}: {named} is no test"


def page(rows: list[Part]) -> str:
    """The page."""
    lines = [_HEAD]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", f"## {section}", "", "| system | declared in | proved by | |", "|---|---|---|---|"]
        lines.append(f"| {row.system} | {_links(row.declared)} | {_links(row.proved)} | {row.note} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


def _links(named: tuple[str, ...]) -> str:
    found: list[Any] = []
    for one in named:
        file, _, test = one.partition("::")
        target = file.removeprefix("docs/") if file.startswith("docs/") else f"../{file}"
        found.append(f"[{test or file}]({target})")
    return ", ".join(found)


if __name__ == "__main__":
    PAGE.write_text(page(parts(SOURCE.read_text())))
