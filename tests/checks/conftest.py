"""What the tests of the checks share: recordings of the sample program, a whole platform, and Helm."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.gitops.tree import switch_on
from checks.graph import Graph
from checks.model.platform import Platform
from lab import programs
from tests.checks.platforms import real
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


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The platform of prod with each application switched on."""
    return real(tmp_path_factory.mktemp("everything"), switch_on)
