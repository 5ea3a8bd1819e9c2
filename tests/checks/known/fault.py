"""The form of a known fault: what was wrong, and the edits that put it into this repository."""

from __future__ import annotations

from dataclasses import dataclass

from tests.checks.platforms import Change, Edit


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way to put a fault into the repository.

    edit: changes files. change: changes what the program declares.
    """

    name: str
    rule: str
    words: tuple[str, ...]
    """What the finding says: object, field and counterpart."""
    edit: Edit | None = None
    change: Change | None = None


@dataclass(frozen=True)
class Known:
    """One fault, with the ways in which it is tried."""

    title: str
    wrong: str
    """What was wrong, and what came of it."""
    cases: tuple[Case, ...]
