"""Which part may import which. docs/architecture.md draws it; here it holds.

Rows are ordered from the ground up: a part imports parts of rows below its own, and nothing else of this repository.
A new folder or layer gets a place in a row. Imports for type checking count like all others.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.imports import imports

PARTS = (
    {"components"},
    {"stacks", "program"},
    {"checks"},
    {"lab"},
    {"tests"},
)
COMPONENTS = (
    {"kit"},
    {"talos", "network", "secrets"},
    {"proxmox", "database", "dns"},
    {"storage", "certificates", "edge"},
    {"vault"},
    {"identity"},
    {"gitops"},
)
STACKS = (
    {"proxied", "matrix_sign_on"},
    {"sso"},
    {"matrix_secrets"},
    {"application_secrets"},
    {"settings"},
    {"call_stacks", "delegation", "outputs"},
    {"commands", "site"},
    {"edge_host"},
    {"cluster"},
    {"network"},
    {"ingress", "storage"},
    {"secret_store"},
    {"secrets"},
    {"dns"},
    {"identity", "edge"},
    {"applications"},
    {"gitops"},
)

# The program's layers are nobody's library: checks see them by recording the program, the lab by running it.
LIBRARIES_OF_STACKS = {
    "call_stacks",
    "proxied",
    "matrix_sign_on",
    "sso",
    "matrix_secrets",
    "application_secrets",
    "settings",
    "delegation",
    "outputs",
    "commands",
}


def breaches(base: Path, rows: Sequence[set[str]]) -> list[str]:
    """Imports between the parts in `base`, modules or folders, that do not lead to a lower row."""
    level = {name: number for number, row in enumerate(rows) for name in row}
    package = base.relative_to(ROOT).parts
    found = []
    for own in level:
        for file in sorted([*(base / own).rglob("*.py"), *base.glob(f"{own}.py")]):
            for line, name in imports(file):
                *inside, other = name.split(".")[: len(package) + 1]
                if tuple(inside) == package and other in level and other != own and level[other] >= level[own]:
                    found.append(f"{file.relative_to(ROOT)}:{line} imports {name}: {own} may not import {other}")
    return found


def test_every_folder_of_components_imports_only_those_below_it() -> None:
    assert breaches(ROOT / "components", COMPONENTS) == []


def test_every_layer_imports_only_those_below_it() -> None:
    assert breaches(ROOT / "stacks", STACKS) == []


@pytest.mark.parametrize("part", sorted(set().union(*PARTS)))
def test_every_part_imports_only_those_below_it(part: str) -> None:
    own = [found for found in breaches(ROOT, PARTS) if found.startswith(f"{part}/")]
    assert own == []


@pytest.mark.parametrize("part", ["checks", "lab"])
def test_no_layer_is_a_library_of(part: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in sorted((ROOT / part).rglob("*.py"))
        for line, name in imports(file)
        if name.startswith("stacks.") and name.split(".")[1] not in LIBRARIES_OF_STACKS
    ]
    assert found == []


def test_the_table_of_contents_imports_layers_settings_and_what_looks_at_them() -> None:
    ours = {name.split(".")[0] for row in PARTS for name in row}
    found = [name for _, name in imports(ROOT / "__main__.py") if name.split(".")[0] in ours]
    assert [name for name in found if not name.startswith("stacks.")] == ["checks.before"]


@pytest.mark.parametrize(
    ("folder", "rows"),
    [("components", COMPONENTS), ("stacks", STACKS)],
    ids=["components", "stacks"],
)
def test_every_part_has_a_place_in_exactly_one_row(folder: str, rows: Sequence[set[str]]) -> None:
    there = {
        path.stem
        for path in (ROOT / folder).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    assert sorted(name for row in rows for name in row) == sorted(there)


@pytest.mark.parametrize("folder", ["components", "stacks"])
def test_the_door_of_a_folder_says_what_is_in_it_and_hands_nothing_on(folder: str) -> None:
    for file in sorted((ROOT / folder).rglob("__init__.py")):
        module = ast.parse(file.read_text())
        assert ast.get_docstring(module), f"{file.relative_to(ROOT)} has no docstring"
        assert len(module.body) == 1, f"{file.relative_to(ROOT)} holds more than its docstring"


def test_the_architecture_page_shows_the_rows_that_hold() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for row in COMPONENTS:
        assert any(
            set(re.findall(r"`(\w+)`", line.split("|")[1])) == row
            for line in page.splitlines()
            if line.startswith("| `")
        ), f"no row of the page has exactly the folders {sorted(row)}"


def test_the_readme_lists_every_layer() -> None:
    layers = {name for row in STACKS for name in row} - LIBRARIES_OF_STACKS - {"secret_store"}
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", readme, re.MULTILINE)) == layers


def test_no_two_test_modules_have_the_same_name() -> None:
    """A run of all tests would stop at the second; a run of some would not notice."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
