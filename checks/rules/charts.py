"""What is known of charts: each with its record, and each record up to date."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from checks.model.objects import items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there


@rule(
    "chart-record",
    title="It is known what each chart makes with the values that it gets",
    why="No rule can see into a chart that nobody rendered with these values.",
    remedy="Run `make charts CHARTS_MIRROR=DIRECTORY` with the chart's archive in the directory.",
)
def records(platform: Platform) -> Iterator[Finding]:
    """Releases whose chart or values nobody recorded."""
    for problem in platform.chart_problems:
        if problem.kind == "unrecorded" and not platform.doubled(problem.release):
            yield finding(problem.release, "spec.values", problem.message, problem.release.where)


@rule(
    "chart-absent",
    title="Somebody has had each chart in hand",
    why="Nothing of what it makes is known, so every rule is silent about it.",
    remedy="Get the chart and record it (make charts), or accept it in checks/waivers.yaml with the reason.",
)
def absent(platform: Platform) -> Iterator[Finding]:
    """Charts whose record says that nobody had them."""
    for problem in platform.chart_problems:
        if problem.kind == "absent":
            release = problem.release
            yield finding(
                f"the chart {release.chart}", "version", problem.message, f"charts/records/{release.chart}.json"
            )


@rule(
    "release-values",
    title="The values of each release are known before it is installed",
    why="Nobody can say what a chart makes of values that only a cluster has.",
    remedy="Write them in spec.values, in a ConfigMap of the tree, or in the template of an ExternalSecret.",
)
def values(platform: Platform) -> Iterator[Finding]:
    """Releases that take values from what the model cannot read."""
    for problem in platform.chart_problems:
        if problem.kind == "unknown":
            place, _, message = problem.message.partition(" ")
            for reference in items(mapping(problem.release.content.get("spec")).get("valuesFrom")):
                kind, name, space = str(reference.get("kind")), str(reference.get("name")), problem.release.namespace
                if not platform.find("", kind, space, name):
                    message += f"; nothing makes {kind} {name}: {there(platform.named('', kind, space), name)}"
            yield finding(problem.release, place, message, problem.release.where)


@rule(
    "replaced-list",
    title="No list of a release's values replaces another one that was given to it",
    why="Helm merges maps and replaces lists: what the first list had is lost without a word.",
    remedy="Give the list in one place, or add to what the chart makes by spec.postRenderers.",
)
def lists(platform: Platform) -> Iterator[Finding]:
    """Lists that two sets of values of one release have."""
    for release in platform.releases:
        for (below, earlier), (above, later) in combinations(release.layers, 2):
            for path in _common_lists(earlier, later, ()):
                problem = f"of {above} replaces the list of {below}"
                yield finding(release, f"values.{path}", problem, release.where)


def _common_lists(one: Any, other: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() & other.keys():
            yield from _common_lists(one[key], other[key], (*path, key))
    elif isinstance(one, list) and isinstance(other, list):
        yield ".".join(path)


@rule(
    "chart-render",
    title="Each chart of this repository renders with the values that it gets",
    why="Helm refuses the release.",
    remedy="Mend the template or the values.",
)
def renders(platform: Platform) -> Iterator[Finding]:
    """Own charts that Helm cannot render."""
    for problem in platform.chart_problems:
        if problem.kind == "broken":
            yield finding(problem.release, "spec.values", problem.message, problem.release.where)
