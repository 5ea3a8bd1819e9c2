"""Changes of what the program declares, by which tests make a platform faulty."""

from __future__ import annotations

import copy
from typing import Any

from checks.model.objects import Manager, Object
from checks.model.platform import Platform
from tests.checks.platforms import Change, object_of, release_of


def at(kind: str, name: str, *path: str | int, value: Any) -> Change:
    """A change that sets a value in a declared object."""

    def change(made: Platform) -> None:
        inside: Any = object_of(made, kind, name).content
        for part in path[:-1]:
            inside = inside.setdefault(part, {}) if isinstance(inside, dict) else inside[part]
        inside[path[-1]] = value

    return change


def without(kind: str, name: str) -> Change:
    """A change that takes an object away."""
    return lambda made: made.objects.remove(object_of(made, kind, name))


def no_order(kind: str, name: str, *earlier: str) -> Change:
    """A change that makes an object wait for nothing whose event holds one of these words."""

    def change(made: Platform) -> None:
        step = object_of(made, kind, name).step
        made.order.edges = [
            edge
            for edge in made.order.edges
            if not (edge.after == step and any(word in edge.before for word in earlier))
        ]

    return change


def unlabelled(name: str) -> Change:
    """A change that takes the labels of a namespace away."""
    return at("Namespace", name, "metadata", "labels", value={})


def late_secret(made: Platform) -> None:
    """The Secret of Authentik's configuration comes after Authentik."""
    step = object_of(made, "ExternalSecret", "authentik-configuration").step
    made.order.add(step, release_of(made, "authentik").step, "depends_on")


def memory(field: str, value: int) -> Change:
    def change(made: Platform) -> None:
        made.machines[0].memory = {**made.machines[0].memory, field: value}

    return change


def settings(*path: str, value: Any) -> Change:
    def change(made: Platform) -> None:
        inside: Any = made.settings
        for part in path[:-1]:
            inside = inside[part]
        inside[path[-1]] = value

    return change


def talos(place: tuple[str, ...], value: Any) -> Change:
    def change(made: Platform) -> None:
        for document in made.talos.patches:
            inside: Any = document
            for part in place[:-1]:
                inside = inside.get(part, {}) if isinstance(inside, dict) else {}
            if isinstance(inside, dict) and place[-1] in inside:
                inside[place[-1]] = value

    return change


def declared(content: dict[str, Any]) -> Change:
    """A change that adds an object of Talos's bootstrap."""
    return lambda made: made.objects.append(
        Object(content, Manager("talos", "bootstrap manifests"), "components/talos/cluster.py", "")
    )


def value_of(release: str, *path: str, value: Any) -> Change:
    def change(made: Platform) -> None:
        inside: Any = release_of(made, release).values
        for part in path[:-1]:
            inside = inside.setdefault(part, {})
        inside[path[-1]] = value

    return change


def added(kind: str, name: str, spec: dict[str, Any], version: str, namespace: str = "") -> Change:
    """A change that adds an object of the program, which waits for nothing that it lacks."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    content = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    return lambda made: made.objects.append(Object(content, Manager("pulumi", f"urn::{name}"), "stacks/x.py:1", ""))


def all_of(*changes: Change) -> Change:
    def change(made: Platform) -> None:
        for one in changes:
            one(made)

    return change


def endpoint(type_token: str, name: str, field: str, value: Any) -> Change:
    """A change of an input of a resource of the program."""

    def change(made: Platform) -> None:
        [node] = [one for one in made.graph.of_type(type_token) if one.name == name]
        made.graph = copy.copy(made.graph)
        other = copy.copy(node)
        other.inputs = {**node.inputs, field: value}
        made.graph.nodes = {**made.graph.nodes, node.urn: other}

    return change
