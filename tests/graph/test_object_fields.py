"""Objects of Kubernetes' own kinds have fields that exist, at every depth, of the types that they have.

The program writes them as manifests (`components/kit/kubernetes_object.py`); pulumi-kubernetes, whose classes are made
from the API's own description, knows what may be in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Union, get_args, get_origin

import pytest
from pulumi._types import input_type_types, is_input_type

from checks.graph import Graph, Node, reveal
from checks.graph.wire import UNKNOWN
from checks.program import recorded
from components.kit.kubernetes_object import KubernetesObject

KINDS = {f"{kind.api_version}/{kind.kind}": kind for kind in KubernetesObject.__subclasses__()}
SCALARS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int, float), float: (int, float)}
"""On the wire there is one kind of number."""


@cache
def _graph(stack: str) -> Graph:
    return recorded(stack)


def _objects(stack: str) -> list[Node]:
    known = [(node, f"{node.inputs.get('apiVersion')}/{node.inputs.get('kind')}") for node in _graph(stack).resources()]
    return [node for node, kind in known if kind in KINDS]


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_every_field_of_an_object_exists(stack: str) -> None:
    wrong = [f"{node.name}: {place}" for node in _objects(stack) for place in _wrong(node.inputs, _arguments(node))]
    assert wrong == []


def test_every_kind_that_the_program_has_a_class_for_is_looked_at() -> None:
    seen = {
        f"{node.inputs['apiVersion']}/{node.inputs['kind']}" for stack in ("lab", "prod") for node in _objects(stack)
    }
    assert seen == set(KINDS)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"rule": []}, "rule"),
        ({"rules": [{"apiGroup": [""]}]}, "rules[0].apiGroup"),
        ({"rules": {"apiGroups": [""]}}, "rules: dict"),
        ({"rules": [{"verbs": [1]}]}, "rules[0].verbs[0]: int"),
    ],
)
def test_a_field_that_does_not_exist_is_named(change: dict[str, Any], place: str) -> None:
    role = next(node for node in _objects("lab") if node.inputs["kind"] == "Role")
    assert list(_wrong(role.inputs | change, _arguments(role))) == [place]


def _arguments(node: Node) -> type:
    """The class of the package for the arguments of an object."""
    group = str(node.inputs["apiVersion"]).rpartition("/")[0].partition(".")[0] or "core"
    kind = node.inputs["kind"]
    module = import_module(f"pulumi_kubernetes.{group}.v1.{kind}")
    found: type = getattr(module, f"{kind}InitArgs")
    return found


def _plain(type_: Any) -> Any:
    """What an input is of: it may also be an Awaitable or an Output of that."""
    return get_args(type_)[0] if get_origin(type_) is Union else type_


def _wrong(value: Any, type_: Any, path: str = "") -> Iterator[str]:
    value = reveal(value)
    if value is UNKNOWN:
        return
    if is_input_type(type_):
        if not isinstance(value, Mapping):
            yield f"{path}: {type(value).__name__}"
            return
        fields = input_type_types(type_)
        for key, inner in value.items():
            place = f"{path}.{key}" if path else key
            if key in fields:
                yield from _wrong(inner, fields[key], place)
            else:
                yield place
    elif get_origin(type_) in (Sequence, list):
        if not isinstance(value, list):
            yield f"{path}: {type(value).__name__}"
            return
        for number, inner in enumerate(value):
            yield from _wrong(inner, _plain(get_args(type_)[0]), f"{path}[{number}]")
    elif type_ in SCALARS and (not isinstance(value, SCALARS[type_]) or isinstance(value, bool) is not (type_ is bool)):
        yield f"{path}: {type(value).__name__}"
