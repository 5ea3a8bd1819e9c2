"""The values of a HelmRelease, merged from what it names and what it has, as helm-controller merges them."""

from __future__ import annotations

from typing import Any

import pytest

from checks.model.objects import Manager, Object
from checks.model.release_values import Given, given_to, merged

OPERATOR, FLUX = Manager("operator", "ExternalSecret demo/login"), Manager("flux", "Kustomization flux-system/demo")


def holder(kind: str, data: dict[str, Any], manager: Manager = FLUX) -> Object:
    metadata = {"name": "given", "namespace": "demo"}
    return Object({"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}, manager, "", "")


def given(values: dict[str, Any], *references: dict[str, Any], of: Object | None = None) -> Given:
    metadata = {"name": "demo", "namespace": "demo"}
    spec = {"values": values, "valuesFrom": [{"name": "given", **reference} for reference in references]}
    release = Object({"kind": "HelmRelease", "metadata": metadata, "spec": spec}, FLUX, "", "")

    def find(kind: str, namespace: str, name: str) -> Object | None:
        same = of is not None and (kind, namespace, name) == (of.kind, of.namespace, of.name)
        return of if same else None

    return given_to(release, find)


def test_maps_are_merged_and_lists_replaced() -> None:
    one = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 1}}
    assert merged(one, {"a": {"c": [3]}, "d": 2}) == {"a": {"b": 1, "c": [3]}, "d": 2}


def test_a_release_s_own_values_lie_over_those_of_a_config_map() -> None:
    found = given({"a": {"b": 2}}, {"kind": "ConfigMap"}, of=holder("ConfigMap", {"values.yaml": "a: {b: 1, c: 1}"}))
    assert (found.values, found.unknown) == ({"a": {"b": 2, "c": 1}}, "")


def test_another_key_may_hold_the_values() -> None:
    found = given({}, {"kind": "ConfigMap", "valuesKey": "more"}, of=holder("ConfigMap", {"more": "a: 1"}))
    assert found.values == {"a": 1}


def test_what_a_template_takes_from_elsewhere_is_hidden() -> None:
    text = "login:\n  password: {{ .password }}\n  user: admin\n"
    found = given({}, {"kind": "Secret"}, of=holder("Secret", {"values.yaml": text}, OPERATOR))
    assert (found.values, found.unknown) == ({"login": {"password": "(secret)", "user": "admin"}}, "")


@pytest.mark.parametrize(
    ("text", "value"), [("x", "x"), ("12", 12), ("012", "012"), ("true", True), (None, "(secret)")]
)
def test_one_value_goes_to_its_place(text: str | None, value: object) -> None:
    reference = {"kind": "Secret", "valuesKey": "k", "targetPath": "a.b"}
    found = given({"a": {"c": 1}}, reference, of=holder("Secret", {"k": text}, OPERATOR))
    assert (found.values, found.unknown) == ({"a": {"b": value, "c": 1}}, "")


@pytest.mark.parametrize("of", [None, holder("Secret", {"other": "a: 1"})], ids=["object", "key"])
def test_an_optional_reference_may_lead_nowhere(of: Object | None) -> None:
    found = given({"a": 1}, {"kind": "Secret", "optional": True}, of=of)
    assert (found.values, found.unknown) == ({"a": 1}, "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"values.yaml": None}, "whose text is not known offline"),
        ({"other": "a: 1"}, "whose text is not known offline"),
        ({"values.yaml": "- a\n"}, "holds no map of values"),
        ({"values.yaml": "a: [\n"}, "holds no map of values"),
    ],
    ids=["hidden", "no key", "list", "no YAML"],
)
def test_values_that_nobody_can_read_are_named(data: dict[str, Any], words: str) -> None:
    found = given({"a": 1}, {"kind": "Secret"}, of=holder("Secret", data, OPERATOR))
    assert found.unknown.startswith("spec.valuesFrom[0] ")
    assert words in found.unknown


def test_a_place_in_a_list_is_not_looked_into() -> None:
    found = given({}, {"kind": "Secret", "targetPath": "a[0].b"}, of=holder("Secret", {"values.yaml": "x"}, OPERATOR))
    assert "targetPath a[0].b" in found.unknown


def test_each_set_of_values_is_kept_with_what_holds_it() -> None:
    found = given({"a": [2]}, {"kind": "ConfigMap"}, of=holder("ConfigMap", {"values.yaml": "a: [1]"}))
    assert found.layers == [("ConfigMap demo/given", {"a": [1]}), ("spec.values", {"a": [2]})]
