"""A chart's definitions in a real API server: they follow the chart, and the objects of their kinds stay."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.kit.api_server import KUBECONFIG
from components.kit.chart_archive import ChartPlace
from components.kit.definitions_command import PLAN, main
from lab.programs import ensure
from tests.servers.kubernetes import ApiError, KubernetesApi
from tests.servers.processes import eventually, run

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(*fields: str, kind: str = "Thing", versions: tuple[str, ...] = ("v1",)) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    spec = {"type": "object", "properties": {field: {"type": "string"} for field in fields}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Cluster",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": version, "served": True, "storage": version == versions[-1], "schema": schema}
                for version in versions
            ],
        },
    }


def chart(directory: Path, *definitions: dict[str, Any], inside: str = "crds") -> ChartPlace:
    path = directory / inside / "definitions.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("---\n".join(yaml.safe_dump(one) for one in definitions))
    for place in (directory, *directory.glob("charts/*")):
        (place / "Chart.yaml").write_text(f"apiVersion: v2\nname: {place.name}\nversion: 1.0.0\n")
    return ChartPlace(chart=str(directory), description="demo 1.0.0")


def apply(kubernetes: KubernetesApi, place: ChartPlace) -> int:
    return main((), {PLAN: place.dumps(), KUBECONFIG: kubernetes.kubeconfig.read_text()})


def thing(kubernetes: KubernetesApi, name: str, **spec: str) -> dict[str, Any]:
    made = {
        "apiVersion": "example.org/v1",
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": spec,
    }

    def answered() -> bool | None:
        with contextlib.suppress(ApiError, StopIteration):
            kubernetes.apply(made)
            return True
        return None

    eventually(answered, f"object {name}")
    return dict(kubernetes.get("example.org/v1", "Thing", name)["spec"])


def fields(kubernetes: KubernetesApi) -> list[str]:
    [version] = kubernetes.request("GET", f"{CRDS}/things.example.org")["spec"]["versions"]
    return list(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])


@pytest.fixture
def helms(kubernetes: KubernetesApi, tmp_path: Path) -> Path:
    """A chart that Helm has installed, which so made its definitions, and an object of their kind."""
    place = tmp_path / "demo"
    chart(place, definition("first"))
    helm = [str(ensure(["helm"])["helm"].path), f"--kubeconfig={kubernetes.kubeconfig}"]
    run([*helm, "upgrade", "--install", "demo", str(place), "--namespace=default"])
    thing(kubernetes, "kept", first="a")
    return place


def test_helm_itself_leaves_a_definition_as_it_was(kubernetes: KubernetesApi, helms: Path) -> None:
    chart(helms, definition("first", "second"))
    helm = [str(ensure(["helm"])["helm"].path), f"--kubeconfig={kubernetes.kubeconfig}"]
    run([*helm, "upgrade", "--install", "demo", str(helms), "--namespace=default"])
    assert fields(kubernetes) == ["first"]


def test_a_definition_follows_the_chart(kubernetes: KubernetesApi, helms: Path) -> None:
    assert apply(kubernetes, chart(helms, definition("first", "second"))) == 0
    assert thing(kubernetes, "new", first="a", second="b") == {"first": "a", "second": "b"}


def test_an_object_outlives_the_change_of_its_definition(kubernetes: KubernetesApi, helms: Path) -> None:
    before = kubernetes.get("example.org/v1", "Thing", "kept")["metadata"]["uid"]
    assert apply(kubernetes, chart(helms, definition("first", "third"))) == 0
    assert kubernetes.get("example.org/v1", "Thing", "kept")["metadata"]["uid"] == before


def test_a_field_that_the_chart_no_longer_has_is_gone_from_the_definition(
    kubernetes: KubernetesApi, helms: Path
) -> None:
    assert apply(kubernetes, chart(helms, definition("first", "second"))) == 0
    assert apply(kubernetes, chart(helms, definition("first"))) == 0
    assert fields(kubernetes) == ["first"]


def test_a_definition_that_the_chart_no_longer_has_stays_with_its_objects(
    kubernetes: KubernetesApi, helms: Path
) -> None:
    assert apply(kubernetes, chart(helms, definition("first", kind="Other"))) == 0
    assert kubernetes.get("example.org/v1", "Thing", "kept")


def test_a_kind_is_served_when_the_command_ends(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    place = chart(tmp_path / "demo", definition("first", kind="Fresh"), inside="charts/crds/crds")
    assert apply(kubernetes, place) == 0
    assert kubernetes.request("GET", "/apis/example.org/v1/freshs")["items"] == []


def test_a_definition_that_the_api_server_refuses_is_named(
    kubernetes: KubernetesApi, helms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Objects are stored as v1, so v1 must stay until they are rewritten.
    assert apply(kubernetes, chart(helms, definition("first", versions=("v2",)))) == 1
    said = capsys.readouterr().err
    assert "definitions of demo 1.0.0" in said
    assert "things.example.org: 422" in said
    assert "status.storedVersions" in said


def test_a_cluster_that_does_not_answer_is_named(
    kubernetes: KubernetesApi, helms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = kubernetes.kubeconfig.read_text().replace(kubernetes.url, "https://127.0.0.1:1")
    assert main((), {PLAN: chart(helms, definition("first")).dumps(), KUBECONFIG: kubeconfig}) == 1
    assert "things.example.org: https://127.0.0.1:1: " in capsys.readouterr().err


def test_a_chart_with_a_broken_file_is_named(
    kubernetes: KubernetesApi, helms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = chart(helms, definition("first"))
    (helms / "crds" / "broken.yaml").write_text("kind: a: b\n")
    assert apply(kubernetes, place) == 1
    assert "crds/broken.yaml of" in capsys.readouterr().err


def test_a_chart_without_such_a_directory_is_refused(
    kubernetes: KubernetesApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply(kubernetes, chart(tmp_path / "demo", definition("first"), inside="templates")) == 1
    assert "no definitions in its directory crds" in capsys.readouterr().err
