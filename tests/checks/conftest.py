"""What the tests of the checks share: recordings of the sample program, and Helm."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.graph import Graph
from lab import programs
from tests.checks.programs import FAKES, INVOKES, sample


@pytest.fixture(scope="session")
def bare() -> Graph:
    """The sample as a first preview sees it."""
    return sample()


@pytest.fixture(scope="session")
def faked() -> Graph:
    """The sample with every output that it uses known."""
    return sample(fakes=FAKES, invokes=INVOKES)


@pytest.fixture(scope="session")
def helm() -> Path:
    """The helm that `make tools` built, or the installed one."""
    return programs.ensure(["helm"])["helm"].path
