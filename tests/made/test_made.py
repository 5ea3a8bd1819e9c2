"""What the program makes is what was last looked at, line by line."""

from __future__ import annotations

import pytest

from tests.made.digests import SETTINGS, digests, kept

REMEDY = (
    "if this is what you meant: .venv/bin/python -m tests.made.digests; "
    "to see what a line stands for, call that with the file's name and the line"
)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_program_makes_what_was_last_looked_at(name: str) -> None:
    now, before = digests(name), kept(name)
    changed = sorted(line for line in now.keys() | before.keys() if now.get(line) != before.get(line))
    assert changed == [], f"{len(changed)} lines of tests/made/{name}.yaml are no longer so; {REMEDY}"
