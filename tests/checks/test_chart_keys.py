"""Which keys a chart counts as known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.charts.chart import load
from checks.charts.keys import Keyring, covers, look_up, paths
from tests.checks.helm_charts import pack, write_chart

DEFAULTS = """\
replicaCount: 1
image:
  repository: example.org/demo
  tag: ""
podAnnotations: {}
tolerations: []
resources:
  limits: {memory: 1Gi}
# logLevel: info
"""


def looked_up(tmp_path: Path, values: str, defaults: str = DEFAULTS, **chart: Any) -> Keyring:
    return look_up(load(write_chart(tmp_path, defaults, **chart)), yaml.safe_load(values))


def unknown(tmp_path: Path, values: str, defaults: str = DEFAULTS, **chart: Any) -> dict[str, str]:
    return looked_up(tmp_path, values, defaults, **chart).unknown


def test_a_key_of_the_defaults_is_known(tmp_path: Path) -> None:
    assert looked_up(tmp_path, "image: {tag: v1}").known == {"image.tag"}


def test_a_misspelt_key_is_unknown_and_its_neighbour_is_offered(tmp_path: Path) -> None:
    assert unknown(tmp_path, "image: {tga: v1}") == {"image.tga": "did you mean image.tag?"}


def test_a_key_in_the_wrong_place_is_unknown_and_its_place_is_named(tmp_path: Path) -> None:
    assert unknown(tmp_path, "repository: x") == {"repository": "the chart has it as image.repository"}


def test_a_key_like_none_of_the_chart_is_unknown_and_the_chart_s_are_named(tmp_path: Path) -> None:
    assert unknown(tmp_path, "image: {zone: x}") == {"image.zone": "the chart has repository, tag there"}


def test_every_unknown_key_is_found(tmp_path: Path) -> None:
    assert sorted(unknown(tmp_path, "image: {tga: v1}\nreplicas: 2\nhost: {}")) == ["host", "image.tga", "replicas"]


@pytest.mark.parametrize("place", ["podAnnotations", "tolerations"])
def test_what_is_empty_in_the_defaults_may_hold_anything(tmp_path: Path, place: str) -> None:
    values = {"podAnnotations": "{example.org/a: b}", "tolerations": "[{operator: Exists}]"}
    assert unknown(tmp_path, f"{place}: {values[place]}") == {}


def test_a_map_that_is_printed_as_it_is_may_hold_anything(tmp_path: Path) -> None:
    found = looked_up(tmp_path, "resources: {requests: {cpu: 1}}", templates="  r: {{ toYaml .Values.resources }}")
    assert (found.known, found.unknown) == ({"resources.*"}, {})


def test_a_map_with_defaults_that_is_not_printed_may_hold_only_those(tmp_path: Path) -> None:
    assert list(unknown(tmp_path, "resources: {requests: {cpu: 1}}")) == ["resources.requests"]


def test_an_empty_list_whose_elements_the_templates_take_apart_may_hold_only_their_keys(tmp_path: Path) -> None:
    templates = "{{ range .Values.classes }}\n  {{ .name }}: {{ .policy }}\n{{ end }}"
    found = unknown(tmp_path, "classes: [{name: a, polcy: b}]", "classes: []", templates=templates)
    assert found == {"classes[].polcy": "did you mean classes[].policy?"}


def test_a_map_where_the_chart_has_a_number_is_refused(tmp_path: Path) -> None:
    found = unknown(tmp_path, "replicaCount: {min: 1}")
    assert found == {"replicaCount": "the chart has 1 there, and no keys below it"}


def test_a_text_where_the_chart_has_a_map_is_refused(tmp_path: Path) -> None:
    assert unknown(tmp_path, "image: demo:v1") == {"image": "the chart has keys there: repository, tag"}


def test_a_text_where_the_chart_has_a_map_may_be_what_its_schema_allows(tmp_path: Path) -> None:
    schema = {"properties": {"image": {"anyOf": [{"type": "string"}, {"type": "object"}]}}}
    assert unknown(tmp_path, "image: demo:v1", schema=schema) == {}


def test_null_in_place_of_a_map_removes_the_default(tmp_path: Path) -> None:
    assert unknown(tmp_path, "image: null") == {}


def test_a_commented_default_does_not_count(tmp_path: Path) -> None:
    assert list(unknown(tmp_path, "logLevel: debug")) == ["logLevel"]


def test_a_commented_default_that_a_template_uses_counts(tmp_path: Path) -> None:
    assert unknown(tmp_path, "logLevel: debug", templates="  level: {{ .Values.logLevel }}") == {}


def test_a_commented_default_that_the_schema_names_counts(tmp_path: Path) -> None:
    assert unknown(tmp_path, "logLevel: debug", schema={"properties": {"logLevel": {"type": "string"}}}) == {}


def test_a_key_that_only_the_notes_after_an_installation_use_does_not_count(tmp_path: Path) -> None:
    assert list(unknown(tmp_path, "logLevel: debug", templates={"NOTES.txt": "{{ .Values.logLevel }}"})) == ["logLevel"]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"log": {"properties": {"level": {}}}}},
        {"properties": {"log": {"$ref": "#/$defs/log"}}, "$defs": {"log": {"properties": {"level": {}}}}},
        {"allOf": [{"properties": {"log": {"anyOf": [{"type": "string"}, {"properties": {"level": {}}}]}}}]},
    ],
    ids=["plain", "reference", "combination"],
)
def test_below_a_key_of_the_schema_only_its_properties_are_known(tmp_path: Path, schema: dict[str, Any]) -> None:
    assert list(unknown(tmp_path, "log: {level: 1, levle: 2}", schema=schema)) == ["log.levle"]


@pytest.mark.parametrize("free", [{"additionalProperties": True}, {"$ref": "https://example.org/k8s.json#/Affinity"}])
def test_a_map_that_the_schema_leaves_free_may_hold_anything(tmp_path: Path, free: dict[str, Any]) -> None:
    assert unknown(tmp_path, "affinity: {nodeAffinity: {}}", schema={"properties": {"affinity": free}}) == {}


SUBCHART = [{"name": "crds", "version": "0.1.0", "condition": "crds.enabled", "alias": "definitions"}]


def with_subchart(tmp_path: Path, *, packed: bool) -> Path:
    chart = write_chart(tmp_path, DEFAULTS, dependencies=SUBCHART)
    below = write_chart(tmp_path / "other", "keep: true", name="crds", version="0.1.0")
    (chart / "charts").mkdir()
    if packed:
        pack(below, chart / "charts" / "crds-0.1.0.tgz")
    else:
        below.rename(chart / "charts" / "crds")
    return chart


@pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "packed"])
def test_the_values_of_a_subchart_lie_below_its_alias(tmp_path: Path, packed: bool) -> None:
    chart = load(with_subchart(tmp_path, packed=packed))
    assert list(look_up(chart, {"definitions": {"keep": False, "kepe": True}}).unknown) == ["definitions.kepe"]


def test_the_switch_of_a_subchart_is_known(tmp_path: Path) -> None:
    assert look_up(load(with_subchart(tmp_path, packed=False)), {"crds": {"enabled": True}}).unknown == {}


def test_an_archive_is_read_like_a_directory(tmp_path: Path) -> None:
    chart = write_chart(tmp_path, DEFAULTS, templates="  level: {{ .Values.logLevel }}")
    archive = pack(chart, tmp_path / "demo-1.2.3.tgz")
    assert load(archive) == load(chart)


def test_what_is_not_a_chart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no Chart\.yaml in it"):
        load(tmp_path)


def test_paths_end_where_values_are() -> None:
    values = {"a": {"b": 1, "c": {}}, "list": [1, 2], "maps": [{"x": 1}, {"y": 2}], "d": {"e.f/g": 1}}
    assert list(paths(values)) == ["a.b", "a.c", "list", "maps[].x", "maps[].y", 'd."e.f/g"']


@pytest.mark.parametrize("path", ["image.tag", "notes.a", "notes", "tolerations[].key", "tolerations"])
def test_a_path_is_covered_by_itself_or_by_an_open_one(path: str) -> None:
    assert covers({"image.tag", "notes.*", "tolerations[].*"}, path)


@pytest.mark.parametrize("path", ["image", "image.tag.x", "note", "notesX"])
def test_a_path_is_not_covered_by_one_that_is_like_it(path: str) -> None:
    assert not covers({"image.tag", "notes.*"}, path)
