"""Flux's controllers in real pods, with the patches of the program's FluxInstance, on a repository of the test's own.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.gitops.flux import NAMESPACE
from components.gitops.hand_over import REPOSITORY
from lab.programs import REAL_CONTROLLERS
from tests.lab import flux_in_pods
from tests.lab.pods_cluster import PodsCluster
from tests.servers import git_source, names

MACHINE = "10.77.3.1"
"""An address of the machine on which the nodes are, beside theirs."""

APPLICATION = {
    "apiVersion": git_source.KUSTOMIZATION,
    "kind": "Kustomization",
    "metadata": {"name": "plain", "namespace": NAMESPACE},
    "spec": {
        "interval": "1h",
        "path": "./gitops/plain",
        "prune": True,
        "sourceRef": {"kind": "GitRepository", "name": REPOSITORY},
    },
}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "plain", "namespace": "default"}}
FILES = {"gitops/plain.yaml": APPLICATION, "gitops/plain/map.yaml": MAP | {"data": {"domain": "${domain}"}}}


@pytest.fixture(scope="module")
def cluster(pods_cluster: PodsCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodsCluster]:
    """The cluster with both controllers, and what the program hands over, for the test's repository."""
    directory: Path = tmp_path_factory.mktemp("flux")
    flux_in_pods.bring_up(pods_cluster, directory)
    source = git_source.prepare(directory, FILES, MACHINE, 2222, 2280)
    pods_cluster.apply(*git_source.handed_over(names.graph(), source.key))
    with pods_cluster.started("sh", "-c", '"$@" >&2 & cat; kill $!', "sh", *source.command):
        yield pods_cluster


@pytest.mark.parametrize("name", REAL_CONTROLLERS)
def test_a_controller_is_ready_by_its_own_probes(cluster: PodsCluster, name: str) -> None:
    cluster.until(name, lambda: cluster.ready(NAMESPACE, f"app={name}", 1))


def test_an_application_of_the_repository_is_made(cluster: PodsCluster) -> None:
    """One controller fetches it over SSH, and serves it to the other, as the network policies let it."""
    found = ("get", "configmap", "plain", "--ignore-not-found", "-ojsonpath={.data.domain}")
    cluster.until("the application", lambda: cluster.kubectl(*found) == names.DOMAIN)
