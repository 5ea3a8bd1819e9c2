"""What only the long tests need is built for them alone, and no other test asks for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import programs
from tests.conftest import ROOT

MODULES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("*.py"))}
LONG = "pytestmark = pytest.mark.long"


def builders(tool: str) -> list[Path]:
    """The modules that have the tool built: tests, and what tests of one subject share, under the subject's name."""
    asked = re.compile(rf'ensure\([\[(][^)]*"{tool}"')
    return [path for path, text in MODULES.items() if asked.search(text)]


@pytest.mark.parametrize("tool", programs.LONG_TESTS)
def test_a_tool_of_the_long_tests_is_used_by_them_alone(tool: str) -> None:
    found = [path if path.stem.startswith("test_") else path.with_stem(f"test_{path.stem}") for path in builders(tool)]
    assert found
    assert [path.name for path in found if LONG not in MODULES.get(path, LONG)] == []
