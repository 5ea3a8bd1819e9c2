"""What tests of several controllers share: real servers, and what production gives them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks.examination import platforms
from checks.model.building import Sources
from checks.model.platform import Platform
from lab.programs import CHECKS, ensure
from tests.conftest import ROOT
from tests.servers.kubernetes import KubernetesApi, kubernetes_api


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """The API of an empty cluster for the tests of one module."""
    with kubernetes_api(tmp_path_factory.mktemp("kubernetes") / "api") as api:
        yield api


@pytest.fixture(scope="module")
def prod() -> Platform:
    """The platform of prod, as the checks see it."""
    tools = {name: found.path for name, found in ensure(CHECKS).items()}
    [platform] = platforms(["prod"], Sources(ROOT, tools["helm"], tools["manifests"]))
    return platform
