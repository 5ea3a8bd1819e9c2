"""Custom resources have the fields that their definition has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.model.platform import Platform
from checks.model.program import HIDDEN, LATER
from checks.rules.rule import Finding, finding, rule, there

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "scalar": (str, int, float, bool),
}


@rule(
    "unknown-field",
    title="A custom resource has the fields that its definition has",
    why="The API server refuses the resource, or drops the field without a word.",
    remedy="Use a field that the definition has.",
)
def unknown(platform: Platform) -> Iterator[Finding]:
    """Fields that a recorded definition does not have, required ones that are missing, and wrong types."""
    trees = {kind: tree for record in platform.records.values() for kind, tree in record.fields.items()}
    for thing in platform.objects:
        tree = trees.get(f"{thing.content.get('apiVersion')}/{thing.kind}")
        if tree is not None and thing.manager.system in ("pulumi", "flux") and "spec" in thing.content:
            for path, problem in _compare(thing.content["spec"], tree, "spec"):
                yield finding(thing, path, problem, thing.where)


def _compare(value: Any, tree: Any, path: str) -> Iterator[tuple[str, str]]:
    if value is None or tree == "any" or value in (HIDDEN, LATER):
        return
    if isinstance(tree, dict):
        if not isinstance(value, dict):
            yield path, f"is {type(value).__name__}: a map is expected"
            return
        for name in tree.get("!", []):
            if name not in value:
                yield f"{path}.{name}", "is missing: it is required"
        for key, inner in value.items():
            if key in tree and key not in ("!", "*"):
                yield from _compare(inner, tree[key], f"{path}.{key}")
            elif "*" in tree:
                yield from _compare(inner, tree["*"], f"{path}.{key}")
            else:
                known = [name for name in tree if name not in ("!", "*")]
                yield f"{path}.{key}", f"is no field of the definition: {there(known, str(key))}"
    elif isinstance(tree, list):
        if not isinstance(value, list):
            yield path, f"is {type(value).__name__}: a list is expected"
            return
        for number, inner in enumerate(value):
            yield from _compare(inner, tree[0], f"{path}[{number}]")
    else:
        kind, *choices = str(tree).split("|")
        types = _TYPES.get(kind)
        if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            yield path, f"is {type(value).__name__}: {kind} is expected"
        elif choices and str(value) not in choices:
            yield path, f"is {value}: {', '.join(choices)} are allowed"
