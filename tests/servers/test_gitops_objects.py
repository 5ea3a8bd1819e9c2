"""Every object that Flux deploys, as the real API server takes it: with no field that it does not know.

PostgreSQL's Cluster is another test's, with the real operator; its definition is not here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks.__main__ import platforms
from checks.deployed import deployed
from checks.model.platform import Sources
from lab import flux
from lab.programs import CHECKS, ensure
from tests.conftest import ROOT
from tests.servers.kubernetes import ApiError, KubernetesApi

ELSEWHERE = "postgresql.cnpg.io/v1"


@pytest.fixture(scope="module")
def objects() -> dict[str, dict[str, Any]]:
    """What Flux deploys in prod, by the name of each."""
    tools = {name: found.path for name, found in ensure(CHECKS).items()}
    [platform] = platforms(["prod"], Sources(ROOT, tools["helm"], tools["manifests"]))
    return {name: one for name, one in deployed(platform).items() if one["apiVersion"] != ELSEWHERE}


@pytest.fixture(scope="module")
def cluster(kubernetes: KubernetesApi, objects: dict[str, dict[str, Any]]) -> KubernetesApi:
    definitions = json.loads(Path(flux.objects()).read_text())
    kubernetes.apply(*(one for one in definitions if one["kind"] == "CustomResourceDefinition"))
    for name in sorted({str(one["metadata"]["namespace"]) for one in objects.values()}):
        kubernetes.namespace(name)
    return kubernetes


def refusal(cluster: KubernetesApi, one: dict[str, Any]) -> str | None:
    """What the API server has against an object, in a strict dry run."""
    group, _, version = one["apiVersion"].rpartition("/")
    start = f"/apis/{group}/{version}" if group else f"/api/{version}"
    plural = f"{one['kind'].lower().removesuffix('y')}{'ies' if one['kind'].endswith('y') else 's'}"
    plural = {"ingresss": "ingresses"}.get(plural, plural)
    path = f"{start}/namespaces/{one['metadata']['namespace']}/{plural}/{one['metadata']['name']}"
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
    [job] = [one for one in objects.values() if one["kind"] == "CronJob"]
    wrong = job | {"spec": job["spec"] | {"scedule": "* * * * *"}}
    assert "scedule" in str(refusal(cluster, wrong))
