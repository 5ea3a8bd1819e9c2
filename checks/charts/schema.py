"""Which keys a chart's `values.schema.json` knows. Validating values against it is Helm's."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMBINATIONS = ("allOf", "anyOf", "oneOf")


@dataclass(frozen=True)
class Schema:
    """One place in a schema."""

    root: Any
    node: Any

    @property
    def free(self) -> bool:
        """Whether it says that a map here may have keys that it does not name, or leaves that to a remote schema."""
        return any(
            _is_remote(node) or node.get("additionalProperties") not in (None, False) or "patternProperties" in node
            for node in self._nodes()
        )

    @property
    def properties(self) -> dict[str, Any]:
        """The keys that it names."""
        return {name: node for part in self._nodes() for name, node in part.get("properties", {}).items()}

    def below(self, key: str) -> list[Schema]:
        """What it says of one key, if it names the key."""
        named = [part["properties"][key] for part in self._nodes() if key in part.get("properties", {})]
        return [Schema(self.root, node) for node in named]

    def elements(self) -> list[Schema]:
        """What it says of a list's elements, or of the values of a map that it leaves free."""
        words = ("items", "additionalProperties")
        nodes = [part[word] for part in self._nodes() for word in words if isinstance(part.get(word), dict)]
        return [Schema(self.root, node) for node in nodes]

    def _nodes(self) -> Iterator[dict[str, Any]]:
        """The node itself, with references followed and combinations taken apart."""
        todo: list[Any] = [self.node]
        seen: list[Any] = []
        while todo:
            node = todo.pop()
            if not isinstance(node, dict) or any(node is other for other in seen):
                continue
            seen.append(node)
            yield node
            todo += [part for word in _COMBINATIONS for part in node.get(word, [])]
            todo += [node[word] for word in ("if", "then", "else") if word in node]
            if isinstance(node.get("$ref"), str) and node["$ref"].startswith("#"):
                todo.append(_resolve(self.root, node["$ref"]))


def without_remote_references(schema: Any) -> tuple[Any, list[str]]:
    """Return a copy of a schema in which what lies elsewhere allows anything, and the addresses that it named."""
    schema, dropped = copy.deepcopy(schema), set()
    todo = [schema]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            if _is_remote(node):
                dropped.add(node.pop("$ref").partition("#")[0])
            todo += node.values()
        elif isinstance(node, list):
            todo += node
    return schema, sorted(dropped)


def _is_remote(node: dict[str, Any]) -> bool:
    return isinstance(node.get("$ref"), str) and "://" in node["$ref"]


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for step in reference.lstrip("#").strip("/").split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if step:
            node = node.get(step, {}) if isinstance(node, dict) else {}
    return node
