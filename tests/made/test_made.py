"""What each stack makes is what was last looked at, line by line."""

from __future__ import annotations

import pytest

from checks.examination import STACKS
from tests.made.digests import digests, kept

REMEDY = (
    "if this is what you meant: .venv/bin/python -m tests.made.digests; "
    "to see what a line stands for, call that with the stack's name and the line's"
)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_makes_what_was_last_looked_at(stack: str) -> None:
    now, before = digests(stack), kept(stack)
    changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
    assert changed == [], f"{len(changed)} lines of tests/made/{stack}.yaml are no longer so; {REMEDY}"
