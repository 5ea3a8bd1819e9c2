"""Recordings of the sample program that the tests of the recorder share."""

from __future__ import annotations

import pytest

from checks.graph import Graph
from tests.checks.programs import FAKES, INVOKES, sample


@pytest.fixture(scope="session")
def bare() -> Graph:
    """The sample as a first preview sees it."""
    return sample()


@pytest.fixture(scope="session")
def faked() -> Graph:
    """The sample with every output that it uses known."""
    return sample(fakes=FAKES, invokes=INVOKES)
