"""Validates a program's custom resources against the CRDs of the operators that will receive them.

Covers what an API server checks in a structural schema without evaluating expressions: kinds and versions, types, field
names, required fields, enumerations, patterns and bounds. It does not cover CEL rules, formats and admission webhooks.
A field that a CRD does not define is a finding, as an API server would silently drop it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from checks.graph import UNKNOWN, Finding, Graph, Secret
from checks.manifest_yaml import LOADER

Schemas = Mapping[str, Mapping[str, Any]]
"""Type token of a custom resource (`kubernetes:<group>/<version>:<Kind>`) to the schema of its objects."""

_META = ("apiVersion", "kind", "metadata", "status")
"""Fields of every object: the API server knows the first three without a schema; the operator owns the last."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
}


def schemas(manifests: str) -> dict[str, dict[str, Any]]:
    """Return the schemas of all served versions of the CRDs among YAML documents, as `helm template` prints them."""
    found = {}
    for text in re.split(r"^---$", manifests, flags=re.MULTILINE):
        if not re.search(r"^kind: CustomResourceDefinition$", text, flags=re.MULTILINE):
            continue
        spec = yaml.load(text, LOADER)["spec"]  # noqa: S506 - a safe loader
        for version in spec["versions"]:
            if version["served"]:
                token = f"kubernetes:{spec['group']}/{version['name']}:{spec['names']['kind']}"
                found[token] = version["schema"]["openAPIV3Schema"]
    return found


def schema_findings(graph: Graph, known: Schemas) -> list[Finding]:
    """Return what the API server would reject or drop in a program's custom resources in the groups of `known`, sorted.

    Parts that are unknown until an `up` are assumed to be valid.
    """
    groups = {_group(token) for token in known}
    found: list[Finding] = []
    for node in graph.resources():
        if node.type in known:
            content = {key: value for key, value in node.inputs.items() if key not in _META}
            schema = dict(known[node.type])
            # A CRD may demand what every object has, as that of CloudNativePG does.
            schema["required"] = [name for name in schema.get("required", []) if name not in _META]
            wrong = list(_violations(content, schema, ""))
        elif _group(node.type) in groups:
            there = sorted(token for token in known if _group(token) == _group(node.type))
            wrong = [f"no CRD serves it: there are {', '.join(there)}"]
        else:
            continue
        found += [Finding("crd-schema", f"{node.type} {node.name}", text, node.source) for text in wrong]
    return sorted(found)


def _group(token: str) -> str:
    return token.removeprefix("kubernetes:").partition("/")[0]


def _violations(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if value is UNKNOWN or (value is None and schema.get("nullable")):
        return
    if isinstance(value, Secret):
        if any(_violations(value.value, schema, place)):
            yield f"{place} is a secret that does not fit: compare it with the CRD"
        return
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            yield f"{place} is {value!r}: give a number or text"
        return
    kind = schema.get("type")
    if kind and not _is(value, kind):
        yield f"{place or 'it'} is {value!r}: its type is {kind}"
    elif isinstance(value, dict):
        yield from _in_object(value, schema, place)
    elif isinstance(value, list):
        yield from _bounds(len(value), schema, "Items", place)
        for index, item in enumerate(value):
            yield from _violations(item, schema.get("items", {}), f"{place}[{index}]")
    else:
        yield from _in_scalar(value, schema, place)


def _in_object(value: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", []):
        if name not in value:
            yield f"{place}.{name} is missing: it is required"
    yield from _bounds(len(value), schema, "Properties", place)
    for name, item in value.items():
        if name in properties:
            yield from _violations(item, properties[name], f"{place}.{name}")
        elif isinstance(others, dict):
            yield from _violations(item, others, f"{place}.{name}")
        elif not others and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{place}.{name} is not a field: there are {', '.join(sorted(properties)) or 'none'}"


def _in_scalar(value: Any, schema: Mapping[str, Any], place: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} is {value!r}: one of {schema['enum']} is allowed"
    if isinstance(value, str):
        yield from _bounds(len(value), schema, "Length", place)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{place} is {value!r}: it must match {schema['pattern']}"
    elif not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield f"{place} is {value!r}: the minimum is {schema['minimum']}"
        if value > schema.get("maximum", value):
            yield f"{place} is {value!r}: the maximum is {schema['maximum']}"


def _bounds(size: int, schema: Mapping[str, Any], what: str, place: str) -> Iterator[str]:
    if size < schema.get(f"min{what}", 0):
        yield f"{place} has {size} {what.lower()}: the minimum is {schema[f'min{what}']}"
    if size > schema.get(f"max{what}", size):
        yield f"{place} has {size} {what.lower()}: the maximum is {schema[f'max{what}']}"


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()  # on Pulumi's wire every number is a float
    return isinstance(value, _TYPES[kind])
