"""Custom resources are of a version that is served, and have the fields that their definition has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from checks.model.flux_tool import ask
from checks.model.objects import Object, items, walk
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
    "served-version",
    title="A custom resource is of a version that its definition serves",
    why="The API server answers as if there were no such kind: `no matches for kind`.",
    remedy="Write it in a version that is served; its fields may have other names there.",
)
def versions(platform: Platform) -> Iterator[Finding]:
    """Custom resources of a version that was given up, or is not there yet."""
    for thing in platform.objects:
        brought = platform.definitions.get((thing.group, thing.kind), [])
        known = [one for definition in brought for one in items(definition.spec.get("versions"))]
        served = {str(one.get("name")) for one in known if one.get("served", True)}
        version = str(thing.content.get("apiVersion")).rpartition("/")[2]
        if served and version not in served:
            problem = f"is {version}, and its definition serves {', '.join(sorted(served))}"
            yield finding(thing, "apiVersion", problem, thing.where)


@rule(
    "invalid-resource",
    title="A custom resource is one that the API server accepts",
    why="The API server refuses it, and nothing of the resource takes effect.",
    remedy="Give what the definition asks for: it is the definition's own rule that is quoted.",
)
def invalid(platform: Platform) -> Iterator[Finding]:
    """Custom resources that break a rule of their recorded schema, expressions included."""
    known = {kind: schema for record in platform.records.values() for kind, schema in record.schemas.items()}
    asked = {
        str(number): thing
        for number, thing in enumerate(platform.objects)
        if f"{thing.content.get('apiVersion')}/{thing.kind}" in known and _written(thing)
    }
    if platform.manifests is None or not asked:
        return
    used = {f"{thing.content.get('apiVersion')}/{thing.kind}" for thing in asked.values()}
    question = {
        "crds": [definition(kind, known[kind]) for kind in sorted(used)],
        "resources": [{"id": number, "object": thing.content} for number, thing in asked.items()],
    }
    fields = {one.object for one in unknown(platform)}
    for number, facts in (ask(platform.manifests, question)["resources"] or {}).items():
        thing = asked[number]
        for fact in facts:
            # What the rule unknown-field says more exactly is not said again, nor what hangs on a value of an `up`.
            if str(thing) not in fields and not _later(thing, fact["check"]):
                yield finding(thing, fact["check"], f"breaks the definition's rule: {fact['detail']}", thing.where)


def _written(thing: Object) -> bool:
    """Whether this repository writes the whole of an object."""
    own = thing.release is not None and thing.release.own
    return own or thing.manager.system in ("pulumi", "flux")


def definition(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The definition of a kind (`<group>/<version>/<Kind>`) with a recorded schema, as the API server takes it."""
    group, version, kind = name.split("/")
    served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": kind, "plural": kind.lower() + "s"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [served]},
    }


def _later(thing: Object, path: str) -> bool:
    """Whether a place in an object holds what only an `up` knows."""
    parts = [int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"\[\d+\]|[^.\[\]]+", path)]
    value = thing.get(*parts) if parts else thing.content
    return any(inner in (HIDDEN, LATER) for _, inner in walk(value) if isinstance(inner, str))


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
