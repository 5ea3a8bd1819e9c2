"""Rules on a platform of a few objects: what they count, and where they look, though hardly any object has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from checks.graph import Graph
from checks.model.distil import distilled
from checks.model.objects import Manager, Object, Release
from checks.model.platform import Platform
from checks.rules.all import RULES

FLUX = Manager("flux", "jobs")
GIB = 2**30


def thing(kind: str, version: str, spec: dict[str, Any], **content: Any) -> Object:
    made = {"apiVersion": version, "kind": kind, "metadata": {"name": "one", "namespace": "jobs"}, "spec": spec}
    return Object(made | content, FLUX, "gitops/jobs.yaml:1", "jobs")


def found(rule: str, platform: Platform) -> list[str]:
    return [f"{one.field} {one.problem}" for one in RULES[rule].findings(platform)]


def of(*objects: Object) -> Platform:
    platform = Platform("prod", Graph(), {})
    platform.objects = list(objects)
    return platform


def quota(name: str, size: str) -> Object:
    return thing("ResourceQuota", "v1", {"hard": {name: size}})


def deployment(**pod: Any) -> Object:
    return thing("Deployment", "apps/v1", {"template": {"spec": pod}})


def asking(memory: str, **more: Any) -> dict[str, Any]:
    return {"name": "a", "resources": {"requests": {"memory": memory}}, **more}


@pytest.mark.parametrize(
    ("first", "refused"),
    [(asking("600Mi"), False), (asking("600Mi", restartPolicy="Always"), True)],
    ids=["that ends", "that runs beside the others"],
)
def test_a_container_that_runs_first_counts_beside_the_others_only_if_it_stays(
    first: dict[str, Any], refused: bool
) -> None:
    pods = deployment(initContainers=[first], containers=[asking("600Mi")])
    assert bool(found("namespace-quota", of(quota("requests.memory", "1Gi"), pods))) is refused


def test_volumes_of_a_workload_count_for_one_pod_where_it_names_no_number() -> None:
    claim = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}}
    workload = thing("StatefulSet", "apps/v1", {"volumeClaimTemplates": [claim], "template": {}})
    [said] = found("namespace-quota", of(quota("requests.storage", "5Gi"), workload))
    assert "asks for 10.00 GiB" in said


@pytest.mark.parametrize("field", ["containers", "initContainers"])
def test_every_container_of_a_pod_is_looked_at(field: str) -> None:
    above = {"name": "a", "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}
    [said] = found("container-limit", of(deployment(**{field: [above]})))
    assert said.startswith(f"spec.template.spec.{field}[0].resources.requests.memory")


DEFAULT = {"storageclass.kubernetes.io/is-default-class": "true"}


@pytest.mark.parametrize(("mode", "refused"), [("ReadWriteOnce", False), ("ReadWriteMany", True)])
def test_a_claim_that_names_no_class_is_held_against_the_default_one(mode: str, refused: bool) -> None:
    about = {"name": "proxmox", "annotations": DEFAULT}
    klass = thing("StorageClass", "storage.k8s.io/v1", {}, metadata=about, provisioner="csi.proxmox.sinextra.dev")
    claim = thing("PersistentVolumeClaim", "v1", {"accessModes": [mode]})
    assert bool(found("volume-class", of(klass, claim))) is refused


@pytest.mark.parametrize("version", ["v1.21.1", "1.21.1"])
@pytest.mark.parametrize(("kubernetes", "refused"), [("v1.36.3", False), ("v1.37.0", True)])
def test_a_version_is_held_against_kubernetes_however_its_publisher_writes_it(
    version: str, kubernetes: str, refused: bool
) -> None:
    platform = Platform("prod", Graph(), {"versions": {"kubernetes": kubernetes}})
    platform.releases = [Release("a", "a", "cert-manager", version, {}, FLUX, "program.py:1", "a")]
    assert bool(found("compatibility", platform)) is refused


@pytest.mark.parametrize("name", ["secret.yaml", "_names.tpl", "below/secret.yml"])
def test_chance_is_found_in_every_file_of_a_charts_templates(tmp_path: Path, name: str) -> None:
    file = tmp_path / "charts" / "demo" / "templates" / name
    file.parent.mkdir(parents=True)
    file.write_text("password: {{ randAlphaNum 32 }}\n")
    platform = Platform("prod", Graph(), {}, root=tmp_path)
    assert found("impure-template", platform) == [
        f"charts/demo/templates/{name} calls randAlphaNum, whose result changes"
    ]


def policy(namespace: str, name: str, **spec: Any) -> Object:
    return thing("NetworkPolicy", "networking.k8s.io/v1", spec, metadata={"name": name, "namespace": namespace})


def named(namespace: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


CLOSED = policy("flux", "closed", podSelector={}, policyTypes=["Ingress"])
CONTROLLER = {"matchLabels": {"app": "controller"}}


def opening(port: int | str, namespace: str = "git", **more: Any) -> Object:
    entry = {"from": [named(namespace)], "ports": [{"port": port, **more}]}
    return policy("flux", "open", podSelector=CONTROLLER, policyTypes=["Ingress"], ingress=[entry])


@pytest.mark.parametrize(
    ("other_side", "refused"),
    [
        ([], False),
        ([CLOSED], True),
        ([CLOSED, opening(9292)], False),
        ([CLOSED, opening(80)], True),
        ([CLOSED, opening(9292, "elsewhere")], True),
        ([CLOSED, opening("http")], False),
        ([CLOSED, opening(9000, endPort=9999)], False),
    ],
    ids=["open", "closed", "opened", "another port", "to another", "a port by its name", "a range"],
)
def test_whoever_may_call_is_let_in_at_that_port(other_side: list[Object], refused: bool) -> None:
    entry = {"to": [{**named("flux"), "podSelector": CONTROLLER}], "ports": [{"port": 9292}]}
    calls = policy("git", "calls", podSelector={}, policyTypes=["Egress"], egress=[entry])
    assert bool(found("policy-other-side", of(calls, *other_side))) is refused


def test_pods_that_nobody_but_a_chart_closes_may_be_open() -> None:
    chart = Release("flux", "flux", "flux", "1.0.0", {}, FLUX, "gitops/jobs.yaml:1", "jobs", made=True)
    own = policy("flux", "closed")
    own.release = chart
    entry = {"to": [{**named("flux"), "podSelector": CONTROLLER}], "ports": [{"port": 9292}]}
    calls = policy("git", "calls", podSelector={}, policyTypes=["Egress"], egress=[entry])
    assert found("policy-other-side", of(calls, own)) == []


@pytest.mark.parametrize(("version", "refused"), [("v1", False), ("v1beta1", True), ("v2", True)])
def test_a_version_that_a_recorded_definition_does_not_serve_is_refused(version: str, refused: bool) -> None:
    versions = [{"name": "v1", "served": True}, {"name": "v1beta1", "served": False}]
    spec = {"group": "x.org", "names": {"kind": "One"}, "scope": "Namespaced", "versions": versions}
    content = thing("CustomResourceDefinition", "apiextensions.k8s.io/v1", spec).content
    definition = Object(distilled(content, "x"), FLUX, "gitops/jobs.yaml:1", "jobs")
    assert bool(found("served-version", of(definition, thing("One", f"x.org/{version}", {})))) is refused
