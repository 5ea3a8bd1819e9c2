"""Objects of a recorded graph, and the definitions of the lab's charts, as manifests for a real API server."""

from __future__ import annotations

import functools
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from checks.graph import Graph, reveal
from checks.program import recorded
from lab import charts


@functools.cache
def lab() -> Graph:
    """What the program makes for stack `lab`; recorded once for all tests."""
    return recorded()


def manifests(graph: Graph, *kinds: str) -> Iterator[dict[str, Any]]:
    """What the program would apply of the kinds named, in the order in which it is registered."""
    for node in graph.nodes.values():
        if node.custom and node.type.startswith("kubernetes:") and node.type.rpartition(":")[2] in kinds:
            yield _whole(reveal(node.inputs))


def definitions(directory: Path) -> list[dict[str, Any]]:
    """The kinds that charts bring, be it in `crds` or among their templates; `directory` is made, for the charts."""
    directory.mkdir()
    charts.write(directory, charts.pinned())
    found = []
    for archive in sorted(directory.glob("*.tgz")):
        with tarfile.open(archive) as opened:
            for member in opened.getmembers():
                content = file.read() if (file := opened.extractfile(member)) else b""
                if b"kind: CustomResourceDefinition" in content:
                    found += [document for document in yaml.safe_load_all(content) if document]
    return found


def _whole(value: Any) -> Any:
    """`value` with whole numbers, which a request to the engine carries as floating ones."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
