"""Rules that each program of this project keeps, whatever its resources are.

They hold for any stack and need no knowledge of a component; a rule about one component belongs in its own test.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from checks.graph.graph import Graph, Node
from checks.graph.wire import plain_strings


@dataclass(frozen=True, order=True)
class Finding:
    """One broken rule: which, by what, and what to do about it."""

    rule: str
    resource: str
    message: str
    source: str = ""
    """`file:line` of the program; empty where it is not known."""

    def __str__(self) -> str:
        return f"{self.source or '-'}: {self.resource}: {self.message} [{self.rule}]"


def convention_findings(graph: Graph, project: str) -> list[Finding]:
    """Return what breaks a convention, sorted; an empty list is the aim.

    The rules: a custom resource lies below a component and names its provider, a provider function names one too,
    a component calls `register_outputs`, and its type token is `<project>:<module>:<Class>`.
    """
    found: list[Finding] = []
    for node in graph.resources(custom=None):
        found += (Finding(rule, _label(node), message, node.source) for rule, message in _broken(graph, node, project))
    for invoke in graph.invokes:
        if not invoke.provider and not invoke.token.startswith("pulumi:"):
            message = "the function would use a default provider: pass opts=InvokeOptions(provider=...)"
            found.append(Finding("explicit-provider", invoke.token, message))
    return sorted(found)


def _broken(graph: Graph, node: Node, project: str) -> Iterator[tuple[str, str]]:
    if node.is_provider or node.type.startswith("pulumi:pulumi:"):
        return
    if node.custom:
        parent = graph.nodes.get(node.parent)
        if parent is None or parent.custom or parent.type == "pulumi:pulumi:Stack":
            yield "component-parent", f"its parent is {parent}: make it in a component, with parent=self"
        if not node.provider:
            yield "explicit-provider", "it would use a default provider: pass providers=[...] to its component"
        return
    if not node.registered_outputs:
        yield "register-outputs", "it never called register_outputs: do so last, on every path of the constructor"
    if not re.fullmatch(rf"{re.escape(project)}:[a-z][a-z0-9]*:[A-Z][A-Za-z0-9]*", node.type):
        yield "type-token", f"its type {node.type!r} is not '{project}:<module>:<Class>': state knows it by that token"
    elif not graph.leaves(node):
        yield "empty-component", "it has no resources: a dependency on it waits for nothing"


def component_types(graph: Graph) -> set[str]:
    """Return the type tokens of all components. Pin them in a test: a changed token replaces what is below it."""
    return {node.type for node in graph.components()}


def leaked_values(graph: Graph, planted: Mapping[str, str]) -> list[Finding]:
    """Return where a planted secret value, as it is or in Base64, appears outside every secret.

    Searched are inputs, registered outputs, URNs and the log. Findings carry the key of the value, never the value.
    """
    found: set[Finding] = set()
    for key, value in planted.items():
        forms = (value, base64.b64encode(value.encode()).decode())
        for place in _places(graph):
            if any(form in text for text in plain_strings(place.content) for form in forms):
                message = f"{place.name} shows {key} in clear: derive it from the secret Output, or wrap it in one"
                found.add(Finding("secret-in-clear", place.owner.replace(value, f"<{key}>"), message, place.source))
    return sorted(found)


@dataclass(frozen=True)
class _Place:
    """Something that a state file or a terminal shows, secrets aside."""

    owner: str
    name: str
    content: Any
    source: str = ""


def _places(graph: Graph) -> Iterator[_Place]:
    yield _Place("log", "a message", graph.log)
    for node in graph.nodes.values():
        label = _label(node)
        yield _Place(label, "URN", node.urn, node.source)
        for name, content in node.inputs.items():
            yield _Place(label, f"input {name}", content, node.source)
        for name, content in node.outputs.items():
            yield _Place(label, f"output {name}", content, node.source)


def _label(node: Node) -> str:
    return f"{node.type} {node.name}"
