"""How long a module and a function may be. There are no exceptions: what grows beyond it has two subjects."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PARTS = ("components", "stacks", "checks", "program", "lab", "tests")
LINES_OF_A_MODULE = 400
LINES_OF_A_FUNCTION = 60


def modules(part: str) -> list[Path]:
    return sorted((ROOT / part).rglob("*.py"))


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("part", PARTS)
def test_no_module_is_too_long_to_be_read_at_once(part: str) -> None:
    found = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in modules(part)}
    assert found, f"{part}/ holds no module"
    assert {file: lines for file, lines in found.items() if lines > LINES_OF_A_MODULE} == {}


@pytest.mark.parametrize("part", PARTS)
def test_no_function_is_too_long_to_be_read_at_once(part: str) -> None:
    found = {
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}": function.end_lineno - function.lineno + 1
        for file in modules(part)
        for function in functions(file)
        if function.end_lineno is not None
    }
    assert {function: lines for function, lines in found.items() if lines > LINES_OF_A_FUNCTION} == {}
