"""The lab's modules import in one direction, the one that `lab/README.md` gives; nothing outside imports the lab."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.golang import LAB
from tests.imports import imports

CHECKOUT = LAB.parent
PROCESSES = ("proxmox", "operators", "plugins.language_host")
"""Packages that run as processes of their own."""


def _order() -> list[str]:
    """The launcher's modules from the ground up."""
    section = (LAB / "README.md").read_text().split("## The launcher")[1].split("\n## ")[0]
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("|")]
    return [name for row in rows for name in re.findall(r"`([\w.]+)`", re.sub(r"\(.*?\)", "", row))]


ORDER = _order()


def _modules() -> dict[str, Path]:
    """The lab's Python modules by their name below `lab`, packages' docstrings and test data left out."""
    found = {}
    for path in LAB.rglob("*.py"):
        if path.name != "__init__.py" and "testdata" not in path.parts:
            found[".".join(path.relative_to(LAB).with_suffix("").parts)] = path
    return found


MODULES = _modules()


def _of_the_lab(path: Path) -> set[str]:
    imported = [name for _, name in imports(path, for_types=False)]
    # A name is the module itself, or something in it.
    return {name for name in MODULES if any(f"{found}.".startswith(f"lab.{name}.") for found in imported)}


def test_the_readme_names_every_module_of_the_launcher() -> None:
    assert sorted(ORDER) == sorted(name for name in MODULES if not name.startswith(PROCESSES))


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_stands_before_it(module: str) -> None:
    assert _of_the_lab(MODULES[module]) <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize("package", PROCESSES)
def test_a_process_imports_nothing_else_of_the_lab(package: str) -> None:
    own = {name: path for name, path in MODULES.items() if name.startswith(package)}
    assert own
    assert {name for path in own.values() for name in _of_the_lab(path)} <= set(own)


@pytest.mark.parametrize("outside", ["stacks", "components", "program", "checks", "__main__.py"])
def test_nothing_outside_imports_the_lab(outside: str) -> None:
    path = CHECKOUT / outside
    files = [path] if path.is_file() else list(path.rglob("*.py"))
    assert files
    assert [file for file in files for _, name in imports(file, for_types=False) if name.split(".")[0] == "lab"] == []
