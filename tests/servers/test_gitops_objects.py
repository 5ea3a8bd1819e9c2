"""Every object in `gitops/`, as the real API server takes it: with no unknown field.

Definitions are those of Flux's operator, and those that the records of charts have.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks.model.platform import Platform
from checks.rules.fields import definition
from lab import flux
from tests.servers.kubernetes import ApiError, KubernetesApi


@pytest.fixture(scope="module")
def objects(prod: Platform) -> dict[str, dict[str, Any]]:
    """What Kustomizations apply, by the name of each."""
    assert prod.tree is not None
    return {str(one.identity): one.content for one in prod.tree.objects}


def definitions(prod: Platform) -> list[dict[str, Any]]:
    """Of every kind that Kubernetes itself does not have and somebody has recorded."""
    fluxs = [one for one in json.loads(Path(flux.objects()).read_text()) if one["kind"] == "CustomResourceDefinition"]
    groups = {one["spec"]["group"] for one in fluxs}
    recorded = {kind: schema for record in prod.records.values() for kind, schema in record.schemas.items()}
    return fluxs + [
        definition(kind, schema) for kind, schema in recorded.items() if kind.partition("/")[0] not in groups
    ]


@pytest.fixture(scope="module")
def cluster(kubernetes: KubernetesApi, prod: Platform, objects: dict[str, dict[str, Any]]) -> KubernetesApi:
    kubernetes.apply(*definitions(prod))
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


@pytest.mark.parametrize("kind", ["PrometheusRule", "Cluster", "Certificate", "HelmRelease"])
def test_a_field_that_a_definition_lacks_is_refused(
    cluster: KubernetesApi, objects: dict[str, dict[str, Any]], kind: str
) -> None:
    one = next(one for one in objects.values() if one["kind"] == kind)
    assert "misspelt" in str(refusal(cluster, one | {"spec": one["spec"] | {"misspelt": 1}}))
