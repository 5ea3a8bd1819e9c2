"""The Helm releases of a recorded program, with the chart and the values of each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.graph import UNKNOWN, Graph, Node, load_stack_config, reveal
from checks.program import ROOT, recorded
from components.kit.versions import ChartPin

RELEASE = "kubernetes:helm.sh/v3:Release"

PLACEHOLDER = "known-after-up"
"""Stands for a value that only an `up` knows."""


@dataclass(frozen=True)
class ChartRelease:
    """One release: a chart from a repository (`pin`), or one in this repository (`path`)."""

    name: str
    namespace: str
    values: dict[str, Any]
    """Without the marks of secrets: never print them."""
    pin: ChartPin | None
    path: Path | None
    kubernetes: str
    """The version of Kubernetes that it is made for."""
    source: str = ""
    """`file:line` of the program that made it."""

    @property
    def chart(self) -> str:
        """The chart's name."""
        return self.pin.name if self.pin else self.path.name if self.path else ""


def of_program(stacks: Iterable[str]) -> list[ChartRelease]:
    """Return the program's releases for some stacks, with their publishers' charts; equal ones once."""
    found: list[ChartRelease] = []
    for stack in stacks:
        version = json.loads(load_stack_config(ROOT, stack)["homelab:versions"])["kubernetes"]
        graph = recorded(stack, change=without_mirror)
        found += [release for release in of_graph(graph, version) if release not in found]
    return found


def without_mirror(settings: dict[str, Any]) -> None:
    """A change of a stack file: charts come from their publishers."""
    settings.get("charts", {}).pop("mirror", None)
    (settings.get("gitops") or {}).pop("chartMirror", None)


def of_graph(graph: Graph, kubernetes: str) -> list[ChartRelease]:
    """Return every release of a graph that was recorded without a mirror of charts, sorted by URN.

    kubernetes: the version of Kubernetes that the graph's cluster has.

    Raises:
        ValueError: a release names no version, takes values from files, or has values that are not a known map.
    """
    return [_release(node, kubernetes) for node in graph.of_type(RELEASE)]


def pins(found: Iterable[ChartRelease]) -> dict[str, ChartPin]:
    """Return the pinned charts of some releases by name.

    Raises:
        ValueError: two releases use two versions of one chart, so that no set of values fits both.
    """
    by_name: dict[str, ChartPin] = {}
    for release in found:
        if release.pin and by_name.setdefault(release.pin.name, release.pin) != release.pin:
            raise ValueError(f"{release.pin.name}: {release.pin} and {by_name[release.pin.name]} are used: pin one")
    return by_name


def _release(node: Node, kubernetes: str) -> ChartRelease:
    inputs = reveal(node.inputs)
    chart, values = str(inputs["chart"]), _plain(inputs.get("values") or {})
    if not isinstance(values, dict):
        raise ValueError(f"{node!r}: its values are known only after `up`: make the map, and let its values be Outputs")
    if inputs.get("valueYamlFiles"):
        raise ValueError(f"{node!r}: valueYamlFiles are not looked into: give `values`")
    path = Path(chart) if (Path(chart) / "Chart.yaml").is_file() else None
    pin = None if path else _pin(node, chart, inputs)
    name, namespace = str(inputs.get("name") or node.name), _plain(inputs.get("namespace") or "default")
    return ChartRelease(name, str(namespace), values, pin, path, kubernetes, node.source)


def _pin(node: Node, chart: str, inputs: dict[str, Any]) -> ChartPin:
    if not inputs.get("version"):
        raise ValueError(f"{node!r}: chart {chart!r} without a version: take it from components/kit/versions.py")
    repository, _, name = chart.rpartition("/")
    return ChartPin(name, str(inputs["version"]), (inputs.get("repositoryOpts") or {}).get("repo") or repository)


def _plain(value: Any) -> Any:
    """A value as YAML has it: whole numbers are integers, and what is not known yet is a placeholder."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return PLACEHOLDER if value is UNKNOWN else value
