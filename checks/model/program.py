"""Objects, releases and order of the recorded Pulumi program."""

from __future__ import annotations

from typing import Any

from checks.graph import UNKNOWN, Graph, Node, Ref, Secret, reveal
from checks.model.objects import CLUSTER_SCOPED, Manager, Object, Release, mapping
from checks.model.order import Order

RELEASE = "kubernetes:helm.sh/v3:Release"
LATER = "known-after-up"
"""Stands for a value that only an `up` knows."""
HIDDEN = "(secret)"
"""Stands for a secret value."""

_NO_FIELDS = ("apiVersion", "kind", "status")


def objects_of(graph: Graph) -> list[Object]:
    """The program's Kubernetes objects."""
    return [
        Object(_content(node), Manager("pulumi", node.urn), node.source, node.urn)
        for node in graph.resources()
        if node.type.startswith("kubernetes:") and node.type != RELEASE
    ]


def releases_of(graph: Graph) -> list[Release]:
    """The program's Helm releases."""
    return [_release(node) for node in graph.of_type(RELEASE)]


def order_of(graph: Graph, order: Order) -> None:
    """Add what the program's resources wait for."""
    for node in graph.nodes.values():
        order.labels[node.urn] = f"{node.type.rpartition(':')[2]} {node.name} (Pulumi)"
        for earlier in node.dependencies:
            order.add(node.urn, earlier, "depends_on or a value of it")
        if node.provider:
            order.add(node.urn, node.provider, "its provider")
        if node.parent:
            order.add(node.urn, node.parent, "its parent")


def _content(node: Node) -> dict[str, Any]:
    content: dict[str, Any] = mapping(plain(node.inputs))
    _, version, kind = node.type.split(":")
    given = content.get("apiVersion")
    api = given if isinstance(given, str) else version.removeprefix("core/")
    metadata = mapping(content.get("metadata"))
    metadata = {"name": node.name, **metadata}
    if kind not in CLUSTER_SCOPED:
        metadata.setdefault("namespace", "default")
    rest = {key: value for key, value in content.items() if key not in _NO_FIELDS}
    return {"apiVersion": api, "kind": kind, **rest, "metadata": metadata}


def _release(node: Node) -> Release:
    inputs = node.inputs
    shown = mapping(plain(reveal(inputs)))
    chart = str(shown.get("chart", "")).rpartition("/")[2]
    description = str(shown.get("description", "")).split(" ")
    version = str(shown.get("version") or (description[1] if len(description) > 1 else ""))
    return Release(
        str(shown.get("name") or node.name),
        str(shown.get("namespace") or "default"),
        description[0] or chart,
        version,
        mapping(shown.get("values")),
        Manager("pulumi", node.urn),
        node.source,
        node.urn,
        node.urn,
        bool(shown.get("createNamespace")),
        own=str(shown.get("chart", "")).startswith("./"),
    )


def plain(value: Any) -> Any:
    """A value as a manifest has it: whole numbers are integers, a secret is a word, what is not known yet another."""
    if isinstance(value, Secret):
        return _hidden(value.value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Ref):
        return value.urn
    return LATER if value is UNKNOWN else value


def _hidden(value: Any) -> Any:
    """The form of a secret without what it hides."""
    if isinstance(value, Secret):
        return _hidden(value.value)
    if isinstance(value, dict):
        return {key: _hidden(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(inner) for inner in value]
    return HIDDEN if isinstance(value, str) else plain(value)
