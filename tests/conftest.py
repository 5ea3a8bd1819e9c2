"""What every test stands on: importable packages, and nothing of the Pulumi that the caller may be logged in to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# At import time, so that fixtures of any scope, and what test modules do when they are imported, are covered too.
for _name in [name for name in os.environ if name.startswith("PULUMI_")]:
    del os.environ[_name]


@pytest.hookimpl(tryfirst=True)  # the worker reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares something, for runs with several workers: a module, and all that use the one lab.

    The modules with the lab take longest, so they come first: one worker has them, the others take what is left.
    """
    sharing = {item.path for item in items if "first_up" in getattr(item, "fixturenames", ())}
    for item in items:
        item.add_marker(pytest.mark.xdist_group("the lab" if item.path in sharing else item.path.stem))
    items.sort(key=lambda item: item.path not in sharing)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case after its argument where the value is long: keys are made anew, and workers compare names."""
    return argname if isinstance(val, str) and len(val) > 60 else None


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root, which is also the Pulumi program's directory."""
    return ROOT
