"""Every object of Kubernetes and of Flux that is in `gitops/`, as the real API server takes it: with no unknown field.

Objects of other operators are other tests'; their definitions are not here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks.examination import platforms
from checks.model.platform import Sources
from lab import flux
from lab.programs import CHECKS, ensure
from tests.conftest import ROOT
from tests.servers.kubernetes import ApiError, KubernetesApi


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    """What Kustomizations apply in prod, by the name of each."""
    tools = {name: found.path for name, found in ensure(CHECKS).items()}
    [platform] = platforms(["prod"], Sources(ROOT, tools["helm"], tools["manifests"]))
    assert platform.tree is not None
    return {str(one.identity): one.content for one in platform.tree.objects if known(one.group)}


def known(group: str) -> bool:
    """Whether kinds of an API group are there."""
    return "." not in group or group.endswith(("networking.k8s.io", "rbac.authorization.k8s.io", ".fluxcd.io"))


@pytest.fixture(scope="module")
def cluster(kubernetes: KubernetesApi, objects: dict[str, dict[str, Any]]) -> KubernetesApi:
    definitions = json.loads(Path(flux.objects()).read_text())
    kubernetes.apply(*(one for one in definitions if one["kind"] == "CustomResourceDefinition"))
    for name in sorted({str(one["metadata"]["namespace"]) for one in objects.values() if namespaced(one)}):
        kubernetes.namespace(name)
    return kubernetes


def namespaced(one: dict[str, Any]) -> bool:
    return "namespace" in one["metadata"]


def refusal(cluster: KubernetesApi, one: dict[str, Any]) -> str | None:
    """What the API server has against an object, in a strict dry run."""
    group, _, version = one["apiVersion"].rpartition("/")
    start = f"/apis/{group}/{version}" if group else f"/api/{version}"
    place = f"/namespaces/{one['metadata']['namespace']}" if namespaced(one) else ""
    kind = one["kind"].lower()
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}es" if kind.endswith("s") else f"{kind}s"
    path = f"{start}{place}/{plural}/{one['metadata']['name']}"
    query = "fieldManager=test&force=true&dryRun=All&fieldValidation=Strict"
    try:
        cluster.request("PATCH", f"{path}?{query}", one, kind="application/apply-patch+yaml")
    except ApiError as error:
        return str(error)
    return None


def test_every_object_is_valid(cluster: KubernetesApi, objects: dict[str, dict[str, Any]]) -> None:
    found = {name: refusal(cluster, one) for name, one in objects.items()}
    assert found
    assert {name: told for name, told in found.items() if told} == {}


def test_a_misspelt_field_is_refused(cluster: KubernetesApi, objects: dict[str, dict[str, Any]]) -> None:
    job = next(one for one in objects.values() if one["kind"] == "CronJob")
    wrong = job | {"spec": job["spec"] | {"scedule": "* * * * *"}}
    assert "scedule" in str(refusal(cluster, wrong))
