"""What the program makes is what was last looked at, line by line."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.made.digests import SETTINGS, VARIANTS, VARIED, digests, kept, varied

REMEDY = "if this is what you meant: .venv/bin/python -m tests.made.digests"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_program_makes_what_was_last_looked_at(name: str) -> None:
    changed = different(digests(name), kept(name))
    shown = "to see what a line stands for, call that with the file's name and the line"
    assert changed == [], f"{len(changed)} lines of tests/made/{name}.yaml are no longer so; {REMEDY}; {shown}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_other_settings_it_makes_what_was_last_looked_at(variant: str) -> None:
    changed = different(varied(variant), kept(VARIED.stem)[variant])
    assert changed == [], f"with {variant} other things are made by these; {REMEDY}"


def different(now: Mapping[str, str], before: Mapping[str, str]) -> list[str]:
    return sorted(line for line in now.keys() | before.keys() if now.get(line) != before.get(line))
