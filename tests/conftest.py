"""What every test stands on: importable packages, and nothing of the Pulumi that the caller may be logged in to."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# At import time, so that fixtures of any scope, and what test modules do when they are imported, are covered too.
for _name in [name for name in os.environ if name.startswith("PULUMI_")]:
    del os.environ[_name]


SHARED = {
    "first_up": "the lab",
    "pods_cluster": "the cluster with real pods",
    "vault_cluster": "the cluster with Vault in real pods",
    "cluster_lab": "the cluster's lab",
}
"""Fixtures of which there is one for all modules, and what the modules are called that share it."""

LAST = ("test_recovery", "test_killed_ups", "test_platform_destroy")
"""Modules that end the lab which they share: after all others, each where the one before has left it."""


@pytest.hookimpl(tryfirst=True)  # the worker reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares something, for runs with several workers: a module, and all that use one lab.

    The modules with a lab take longest, so they come first: each worker has one, and then takes what is left.
    """
    groups: dict[Path, str] = {}
    for item in items:
        for name in SHARED.keys() & set(getattr(item, "fixturenames", ())):
            groups[item.path] = SHARED[name]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups.get(item.path, item.path.stem)))
    order = list(SHARED.values())

    def place(item: pytest.Item) -> tuple[int, int]:
        turn = LAST.index(item.path.stem) + 1 if item.path.stem in LAST else 0
        return order.index(groups[item.path]) if item.path in groups else len(order), turn

    items.sort(key=place)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case after its argument where the value is long: keys are made anew, and workers compare names."""
    return argname if isinstance(val, str) and len(val) > 60 else None


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root, which is also the Pulumi program's directory."""
    return ROOT


FIGURE = "figure"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes a measured figure, in words; the end of the run shows them all."""
    return functools.partial(record_property, FIGURE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests took, with those of workers, whose own output nobody sees."""
    reports = [one for each in terminalreporter.stats.values() for one in each if isinstance(one, pytest.TestReport)]
    figures = [text for one in reports if one.when == "call" for name, text in one.user_properties if name == FIGURE]
    if figures:
        terminalreporter.section("figures")
    for text in figures:
        terminalreporter.line(str(text))
