"""Validation of custom resources against CRDs: each thing that an API server would refuse or drop."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
import yaml
from pulumi_kubernetes.apiextensions import CustomResource

from checks.crds import schema_findings, schemas
from checks.graph import record

SPEC = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
        "count": {"type": "integer", "minimum": 1, "maximum": 3},
        "share": {"type": "number"},
        "kind": {"type": "string", "enum": ["A", "B"]},
        "on": {"type": "boolean"},
        "port": {"x-kubernetes-int-or-string": True},
        "list": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string"}},
        "labels": {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "none": {"type": "string", "nullable": True},
    },
}


def crd(*, served: bool = True) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}}
    return {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.org",
            "names": {"kind": "Thing"},
            "versions": [{"name": "v1", "served": served, "schema": schema}],
        },
    }


def manifests(*documents: dict[str, Any]) -> str:
    """As Helm prints them: each with a comment of its own, and one without content."""
    return "".join(f"---\n# Source: chart\n{yaml.safe_dump(document)}" for document in documents) + "---\n"


KNOWN = schemas(manifests({"kind": "ConfigMap"}, crd()))


def thing(spec: Any, kind: str = "Thing", group: str = "example.org") -> None:
    opts = pulumi.ResourceOptions(provider=kubernetes.Provider("kubernetes"))
    CustomResource("thing", api_version=f"{group}/v1", kind=kind, spec=spec, opts=opts)


def found(spec: Any, **which: str) -> list[str]:
    graph = record(lambda: thing(spec, **which))
    return [finding.message for finding in schema_findings(graph, KNOWN)]


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "ab"},
        {"name": "ab", "count": 2, "share": 0.5, "kind": "A", "on": True, "list": ["a"]},
        {"name": "ab", "port": "http"},
        {"name": "ab", "port": 80},
        {"name": "ab", "labels": {"a": "b"}},
        {"name": "ab", "open": {"a": {"b": 1}}},
    ],
)
def test_what_fits_is_not_a_finding(spec: dict[str, Any]) -> None:
    assert found(spec) == []


def test_a_secret_that_does_not_fit_is_found_and_not_shown() -> None:
    graph = record(lambda: thing({"name": pulumi.Output.secret("planted-value")}))
    [finding] = schema_findings(graph, KNOWN)
    assert finding.message == ".spec.name is a secret that does not fit: compare it with the CRD"


def test_a_secret_that_fits_is_not_a_finding() -> None:
    graph = record(lambda: thing({"name": pulumi.Output.secret("ab")}))
    assert schema_findings(graph, KNOWN) == []


@pytest.mark.parametrize(
    ("field", "finding"),
    [
        ({"name": "a"}, ".spec.name has 1 length: the minimum is 2"),
        ({"name": "abcde"}, ".spec.name has 5 length: the maximum is 4"),
        ({"name": "AB"}, ".spec.name is 'AB': it must match ^[a-z]+$"),
        ({"name": 1}, ".spec.name is 1.0: its type is string"),
        ({"count": 0}, ".spec.count is 0.0: the minimum is 1"),
        ({"count": 4}, ".spec.count is 4.0: the maximum is 3"),
        ({"count": 1.5}, ".spec.count is 1.5: its type is integer"),
        ({"count": True}, ".spec.count is True: its type is integer"),
        ({"kind": "C"}, ".spec.kind is 'C': one of ['A', 'B'] is allowed"),
        ({"on": "yes"}, ".spec.on is 'yes': its type is boolean"),
        ({"port": ["http"]}, ".spec.port is ['http']: give a number or text"),
        ({"list": []}, ".spec.list has 0 items: the minimum is 1"),
        ({"list": ["a", "b", "c"]}, ".spec.list has 3 items: the maximum is 2"),
        ({"list": ["a", 1]}, ".spec.list[1] is 1.0: its type is string"),
        ({"list": ["a", None]}, ".spec.list[1] is None: its type is string"),
        ({"labels": {"a": "b", "c": "d"}}, ".spec.labels has 2 properties: the maximum is 1"),
        ({"labels": {"a": 1}}, ".spec.labels.a is 1.0: its type is string"),
    ],
)
def test_what_an_api_server_refuses_is_found(field: dict[str, Any], finding: str) -> None:
    assert found({"name": "ab", **field}) == [finding]


def test_a_required_field_that_is_missing_is_found() -> None:
    assert found({"on": True}) == [".spec.name is missing: it is required"]


def test_a_field_that_would_be_dropped_is_found() -> None:
    [finding] = found({"name": "ab", "nmae": "ab"})
    assert finding.startswith(".spec.nmae is not a field: there are count, kind, ")


def test_a_kind_that_no_crd_of_the_group_serves_is_found() -> None:
    assert found({}, kind="Thin") == ["no CRD serves it: there are kubernetes:example.org/v1:Thing"]


def test_a_version_that_is_not_served_is_not_known() -> None:
    assert schemas(manifests(crd(served=False))) == {}


def test_a_group_without_a_crd_is_not_looked_at() -> None:
    assert found({}, group="example.com") == []


def test_a_sign_that_yaml_has_a_type_of_its_own_for_is_text_as_it_is_to_kubernetes() -> None:
    text = manifests(crd()).replace("- A\n", "- =\n")
    [schema] = schemas(text).values()
    assert schema["properties"]["spec"]["properties"]["kind"]["enum"] == ["=", "B"]
