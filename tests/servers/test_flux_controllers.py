"""Flux's source and kustomize controllers with the objects that the program hands over, in a real Kubernetes API.

The repository is the test's own, read over SSH with the key and the known host that the program passes on. The tests
are steps, in order.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from checks.graph import Graph
from checks.program import recorded
from components.gitops.flux import NAMESPACE
from components.gitops.hand_over import REPOSITORY, ROOT
from lab import flux
from lab.programs import ensure
from tests.servers import git_source
from tests.servers.git_source import KUSTOMIZATION, SOURCE
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import eventually, free_ports, server

SECONDS = 120.0
OWN = {"apiVersion": "v1", "kind": "ConfigMap"}


def application(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
    source = {"kind": "GitRepository", "name": REPOSITORY}
    wanted = {"interval": "1h", "path": f"./gitops/{name}", "prune": True, "sourceRef": source, **spec}
    return {"apiVersion": KUSTOMIZATION, "kind": "Kustomization", "metadata": metadata, "spec": wanted}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return OWN | {"metadata": {"name": name, "namespace": "default"}, "data": data}


WITHOUT = {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}
FILES: dict[str, dict[str, Any]] = {
    "gitops/plain.yaml": application("plain"),
    "gitops/plain/map.yaml": config_map("plain", domain="${domain}", kept="$${domain}"),
    "gitops/own.yaml": application("own", WITHOUT),
    "gitops/own/map.yaml": config_map("own", query="${domain}"),
    "gitops/broken.yaml": application("broken"),
    "gitops/broken/map.yaml": config_map("broken", value="${nobody_defines_this}"),
    "gitops/needing.yaml": application("needing", dependsOn=[{"name": "broken"}]),
    "gitops/needing/map.yaml": config_map("needing", value="x"),
    "gitops/release.yaml": application("release"),
    "gitops/release/release.yaml": {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "release", "namespace": "default"},
        "spec": {
            "interval": "5m",
            "chart": {"spec": {"chart": "x", "version": "1.0.0", "sourceRef": {"kind": "HelmRepository", "name": "x"}}},
        },
    },
    "gitops/release/repository.yaml": {
        "apiVersion": SOURCE,
        "kind": "HelmRepository",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"interval": "1h", "url": "https://charts.invalid"},
    },
}


@dataclass(frozen=True)
class Cluster:
    """An API with Flux in it, and what the program handed over."""

    api: KubernetesApi
    graph: Graph

    def applications(self) -> dict[str, dict[str, str]]:
        """The condition Ready of each Kustomization, by name."""
        path = f"/apis/{KUSTOMIZATION}/namespaces/{NAMESPACE}/kustomizations"
        return {
            item["metadata"]["name"]: next(
                (one for one in item.get("status", {}).get("conditions", []) if one["type"] == "Ready"), {"status": ""}
            )
            for item in self.api.request("GET", path)["items"]
        }

    def until(self, holds: Callable[[], bool], what: str) -> None:
        def answer() -> Literal[True] | None:
            return True if holds() else None

        eventually(answer, what, seconds=SECONDS)


@pytest.fixture(scope="module")
def cluster(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("flux")
    graph = recorded("lab")
    kubernetes.namespace(NAMESPACE)
    kubernetes.apply(*json.loads(flux.objects().read_text()))
    with contextlib.ExitStack() as running:
        ssh, http = free_ports(2)
        source = git_source.prepare(directory, FILES, "127.0.0.1", ssh, http)
        running.enter_context(server("git-server", source.command, directory=directory, ready=_listening(ssh)))
        _controllers(kubernetes, graph, directory, running)
        kubernetes.apply(*git_source.handed_over(graph, source.key))
        yield Cluster(kubernetes, graph)


def _listening(port: int) -> Callable[[], bool]:
    from lab.processes import listening

    return lambda: listening("127.0.0.1", port)


def _controllers(api: KubernetesApi, graph: Graph, directory: Path, running: contextlib.ExitStack) -> None:
    """Both, with the flags of the FluxInstance and the rights of their own accounts."""
    storage, *health = free_ports(3)
    instance = graph["kubernetes:fluxcd.controlplane.io/v1:FluxInstance flux"].inputs["spec"]
    for name, port in zip(("source-controller", "kustomize-controller"), health, strict=True):
        config = yaml.safe_load(api.kubeconfig.read_text())
        config["users"] = [{"name": "admin", "user": {"token": api.token(NAMESPACE, name)}}]
        kubeconfig = directory / f"{name}.kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        flags = [
            step["value"]
            for patch in instance["kustomize"]["patches"]
            if patch["target"]["name"] == name
            for step in yaml.safe_load(patch["patch"])
        ]
        data = directory / name
        data.mkdir()
        address = f"127.0.0.1:{storage}"
        stored = [f"--storage-path={data}", f"--storage-addr={address}", f"--storage-adv-addr={address}"]
        command = [
            *("env", f"KUBECONFIG={kubeconfig}", f"RUNTIME_NAMESPACE={NAMESPACE}", f"TMPDIR={data}"),
            str(ensure([name])[name].path),
            *("--events-addr=", "--metrics-addr=0", f"--health-addr=127.0.0.1:{port}", "--watch-all-namespaces"),
            *(stored if name == "source-controller" else []),
            *flags,
        ]
        running.enter_context(server(name, command, directory=directory, ready=_listening(port)))


def test_the_list_of_applications_is_applied(cluster: Cluster) -> None:
    cluster.until(lambda: cluster.applications()[ROOT]["status"] == "True", "root Kustomization that is Ready")
    assert cluster.applications().keys() == {ROOT, "plain", "own", "broken", "needing", "release"}


def test_variables_are_filled_in(cluster: Cluster) -> None:
    cluster.until(lambda: cluster.applications()["plain"]["status"] == "True", "application that is Ready")
    domain = cluster.graph["kubernetes:core/v1:ConfigMap applications-settings"].inputs["data"]["domain"]
    found = cluster.api.get("v1", "ConfigMap", "plain", "default")["data"]
    assert found == {"domain": domain, "kept": "${domain}"}


def test_an_application_may_keep_its_own_variables(cluster: Cluster) -> None:
    cluster.until(lambda: cluster.applications()["own"]["status"] == "True", "application that is Ready")
    assert cluster.api.get("v1", "ConfigMap", "own", "default")["data"] == {"query": "${domain}"}


def test_a_variable_that_nobody_defines_stops_its_application_and_what_needs_it(cluster: Cluster) -> None:
    cluster.until(lambda: cluster.applications()["broken"]["status"] == "False", "application that failed")
    assert "nobody_defines_this" in cluster.applications()["broken"]["message"]
    assert cluster.applications()["needing"]["status"] != "True"
    assert cluster.api.find("v1", "ConfigMap", "needing", "default") is None


def test_a_release_gets_the_defaults_and_the_mirror(cluster: Cluster) -> None:
    cluster.until(lambda: cluster.applications()["release"]["status"] == "True", "application that is Ready")
    spec = cluster.api.get("helm.toolkit.fluxcd.io/v2", "HelmRelease", "release", "default")["spec"]
    assert (spec["install"]["crds"], spec["upgrade"]["remediation"]["retries"]) == ("CreateReplace", 2)
    mirrored = cluster.api.get(SOURCE, "HelmRepository", "x", "default")["spec"]
    assert mirrored["url"].endswith("/charts")


def test_what_was_made_stays_when_the_root_goes(cluster: Cluster) -> None:
    path = f"/apis/{KUSTOMIZATION}/namespaces/{NAMESPACE}/kustomizations/{ROOT}"
    before = cluster.api.get("v1", "ConfigMap", "plain", "default")["metadata"]["uid"]
    cluster.api.request("DELETE", path)
    cluster.until(lambda: ROOT not in cluster.applications(), "end of the root Kustomization")
    assert cluster.applications().keys() == {"plain", "own", "broken", "needing", "release"}
    assert cluster.api.get("v1", "ConfigMap", "plain", "default")["metadata"]["uid"] == before
