"""Real servers that tests of several controllers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.kubernetes import KubernetesApi, kubernetes_api


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """The API of an empty cluster for the tests of one module."""
    with kubernetes_api(tmp_path_factory.mktemp("kubernetes") / "api") as api:
        yield api
