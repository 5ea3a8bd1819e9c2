"""Gitea's HelmRelease as it is in `gitops/`, installed by the lab's helm-player with the lab's chart."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from components.identity.sso import VALUES_KEY
from components.secrets.secret_spec import Plain
from lab import charts
from stacks import sso
from tests.charts.kustomize import GITOPS, built
from tests.servers.gitea import VARIABLES
from tests.servers.helm_releases import playing
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import eventually


@pytest.fixture(scope="module")
def deployment(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What is made of the release in the cluster; no pod comes up here, so nothing is waited for."""
    directory = tmp_path_factory.mktemp("gitea")
    [archive] = charts.write(directory, [pin for pin in charts.pinned() if pin.name == "gitea"])
    with tarfile.open(archive) as content:
        content.extractall(directory, filter="data")
    release = built(GITOPS / "gitea", VARIABLES)["HelmRelease", "gitea"]
    release["spec"]["install"] = {"disableWait": True}
    values = sso.credentials(sso.GITEA, VARIABLES["domain"], private=True).keys[VALUES_KEY]
    assert isinstance(values, Plain)
    with playing(kubernetes, directory) as flux:
        kubernetes.namespace("gitea")
        kubernetes.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": sso.GITEA.secret, "namespace": "gitea"},
                "stringData": {VALUES_KEY: values.value},
            },
            release,
        )
        flux.chart("gitea", "gitea", directory / "gitea")
        yield eventually(lambda: kubernetes.find("apps/v1", "Deployment", "gitea", "gitea"), "Deployment", seconds=60)


def test_the_database_can_be_verified_by_all_that_ask_it(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    asking = [
        one for one in [*pod["initContainers"], *pod["containers"]] if one["name"] in ("configure-gitea", "gitea")
    ]
    found = [mount["mountPath"] for one in asking for mount in one.get("volumeMounts", [])]
    assert found == ["/database-authority"] * 2
    assert [volume["secret"]["secretName"] for volume in pod["volumes"]] == ["gitea-postgres-ca"]


def test_a_patch_names_only_containers_that_the_chart_has(deployment: Any) -> None:
    pod = deployment["spec"]["template"]["spec"]
    assert [one["name"] for one in pod["containers"]] == ["gitea"]
    assert all(one["image"] for one in [*pod["initContainers"], *pod["containers"]])


def test_ssh_asks_for_an_address_and_a_name_of_its_own(deployment: Any, kubernetes: KubernetesApi) -> None:
    del deployment
    service = eventually(lambda: kubernetes.find("v1", "Service", "gitea-ssh", "gitea"), "Service of SSH")
    annotations = service["metadata"]["annotations"]
    assert annotations["external-dns.alpha.kubernetes.io/hostname"] == "git-ssh.lab.home.arpa"
    assert annotations["metallb.io/address-pool"] == "services-pool"
