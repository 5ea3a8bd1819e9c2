"""A release is rendered by the real Helm, with its chart's own schema."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from checks.charts.render import render
from tests.checks.helm_charts import CONFIG_MAP, pack, release_of, write_chart

SCHEMA = {"properties": {"level": {"type": "string", "enum": ["debug", "info"]}}}
REMOTE = "https://schemas.example.org/definitions.json"


def test_a_release_renders_with_its_name_namespace_and_values(helm: Path, tmp_path: Path) -> None:
    chart = write_chart(tmp_path, "level: info", templates="  place: {{ .Release.Namespace }}-{{ .Values.level }}")
    rendering = render(helm, chart, release_of({"level": "debug"}))
    [config_map] = yaml.safe_load_all(rendering.manifests)
    assert (config_map["metadata"]["name"], config_map["data"], rendering.problems) == (
        "demo",
        {"place": "apps-debug"},
        [],
    )


def test_an_archive_renders(helm: Path, tmp_path: Path) -> None:
    archive = pack(write_chart(tmp_path, templates="  a: b"), tmp_path / "demo-1.2.3.tgz")
    assert "a: b" in render(helm, archive, release_of({})).manifests


def test_charts_are_rendered_for_the_cluster_s_version(helm: Path, tmp_path: Path) -> None:
    chart = write_chart(tmp_path, templates="  version: {{ .Capabilities.KubeVersion.Version }}")
    assert "version: v1.36.3" in render(helm, chart, release_of({})).manifests


def test_a_value_against_the_schema_is_a_problem(helm: Path, tmp_path: Path) -> None:
    chart = write_chart(tmp_path, "level: info", templates="  a: b", schema=SCHEMA)
    [problem] = render(helm, chart, release_of({"level": "loud"})).problems
    assert "'/level'" in problem


def test_a_template_that_fails_is_a_problem(helm: Path, tmp_path: Path) -> None:
    chart = write_chart(tmp_path, templates='  a: {{ required "level must be set" .Values.level }}')
    [problem] = render(helm, chart, release_of({})).problems
    assert "level must be set" in problem


def test_a_warning_of_helm_is_a_problem(helm: Path, tmp_path: Path) -> None:
    chart = write_chart(tmp_path, "image: {tag: {a: 1}}", templates="  a: b")
    [problem] = render(helm, chart, release_of({"image": {"tag": "x"}})).problems
    assert "cannot overwrite table with non table" in problem


@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "packed"])
def test_a_schema_on_another_server_is_named_and_not_fetched(helm: Path, tmp_path: Path, packed: bool) -> None:
    schema = {"properties": {"affinity": {"$ref": f"{REMOTE}#/definitions/Affinity"}, **SCHEMA["properties"]}}
    chart = write_chart(tmp_path, "affinity: {}\nlevel: info", templates="  a: b", schema=schema)
    if packed:
        chart = pack(chart, tmp_path / "demo-1.2.3.tgz")
    rendering = render(helm, chart, release_of({"affinity": {"a": 1}}))
    assert (rendering.unchecked, rendering.problems) == ([REMOTE], [])


def test_the_rest_of_such_a_schema_still_counts(helm: Path, tmp_path: Path) -> None:
    schema = {"properties": {"affinity": {"$ref": REMOTE}, **SCHEMA["properties"]}}
    chart = write_chart(tmp_path, "level: info", templates="  a: b", schema=schema)
    assert render(helm, chart, release_of({"level": "loud"})).problems


def test_the_caller_s_own_helm_is_left_out(helm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELM_NAMESPACE", "elsewhere")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    chart = write_chart(tmp_path, templates={"a.yaml": CONFIG_MAP + "  place: {{ .Release.Namespace }}"})
    rendering = render(helm, chart, release_of({}))
    assert ("place: apps" in rendering.manifests, rendering.problems) == (True, [])
