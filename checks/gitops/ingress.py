"""Finds annotations of the community's ingress controller, which mean nothing to the one that runs here.

The rule: no `nginx.ingress.kubernetes.io/...` in a file for Flux, in a chart's values or in an object of the program.
F5's controller reads `nginx.org/...` and ignores the others without a word, so that a limit or a sign-on written so
would not exist (https://docs.nginx.com/nginx-ingress-controller/configuration/ingress-resources/advanced-configuration-with-annotations/).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.graph import Finding, Graph, reveal

_FOREIGN = "nginx.ingress.kubernetes.io/"
_RULE = "ingress-annotation"
_MESSAGE = (
    "{} is of another ingress controller and does nothing here: use a profile of gitops/components, or its counterpart "
    "nginx.org/..."
)
_MANIFESTS = frozenset({".yaml", ".yml", ".tpl", ".json"})


def foreign_in_files(*directories: Path) -> list[Finding]:
    """Return where files below directories have such an annotation."""
    return sorted(
        Finding(_RULE, file.name, _MESSAGE.format(_name(line)), f"{file}:{number}")
        for directory in directories
        for file in sorted(directory.rglob("*"))
        if file.suffix in _MANIFESTS
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if _FOREIGN in line
    )


def foreign_in_program(graph: Graph) -> list[Finding]:
    """Return the objects of a program, and the releases, that have such an annotation."""
    return sorted(
        Finding(_RULE, f"{node.type} {node.name}", _MESSAGE.format(name), node.source)
        for node in graph.resources()
        for name in sorted(set(_keys(reveal(node.inputs))))
    )


def _name(line: str) -> str:
    return _FOREIGN + line.partition(_FOREIGN)[2].split(":")[0].strip("\"' ")


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and key.startswith(_FOREIGN):
                yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)
