"""Objects of a recorded graph as manifests, for a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.graph import Graph, reveal


def manifests(graph: Graph, *kinds: str) -> Iterator[dict[str, Any]]:
    """What the program would apply of the kinds named, in the order in which it is registered."""
    for node in graph.nodes.values():
        if node.custom and node.type.startswith("kubernetes:") and node.type.rpartition(":")[2] in kinds:
            yield _whole(reveal(node.inputs))


def _whole(value: Any) -> Any:
    """`value` with whole numbers, which a request to the engine carries as floating ones."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
