"""Compares releases with their charts: they exist, have the pinned version, know every key, and render."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.charts.chart import Chart, load
from checks.charts.keys import look_up
from checks.charts.record import Checked
from checks.charts.releases import ChartRelease
from checks.charts.render import render
from checks.crds import schemas
from checks.graph import Finding
from components.kit.chart import ChartError, in_directory


@dataclass
class Examination:
    """The result."""

    findings: set[Finding] = field(default_factory=set)
    checked: dict[str, Checked] = field(default_factory=dict)
    """What was looked up in pinned charts; a chart in this repository is always available and needs no record."""
    missing: set[str] = field(default_factory=set)
    """Pinned charts, as `<name> <version>`, that the mirror lacks."""
    unchecked: set[str] = field(default_factory=set)
    """Schemas on other servers that charts refer to, and that were not fetched."""
    crds: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The schemas of custom resources that the rendered charts define, by type token."""


def examine(
    releases: Iterable[ChartRelease], *, mirror: Path | None, helm: Path | None, only_present: bool = False
) -> Examination:
    """Examine releases; without a mirror only those of this repository's own charts, without Helm none is rendered.

    only_present: a chart that the mirror lacks is not a finding.
    """
    result = Examination()
    charts: dict[Path, Chart] = {}
    for release in releases:
        path = release.path
        if release.pin and mirror:
            try:
                path = in_directory(mirror, release.pin)
            except ChartError as error:
                result.missing.add(f"{release.pin.name} {release.pin.version}")
                if not only_present:
                    _add(result, release, "chart-missing", str(error))
        if path is not None:
            _against(result, release, path, charts.get(path) or charts.setdefault(path, load(path)))
            _rendered(result, release, path, helm)
    return result


def _against(result: Examination, release: ChartRelease, path: Path, chart: Chart) -> None:
    """Compare names, versions and keys."""
    held = f"{chart.name} {chart.version}"
    if release.pin:
        wanted = f"{release.pin.name} {release.pin.version}"
        if _unprefixed(held) != _unprefixed(wanted):
            _add(result, release, "chart-version", f"{path} holds {held}, and {wanted} is pinned: put that one there")
            return
    found = look_up(chart, release.values)
    for key, meant in found.unknown.items():
        _add(result, release, "chart-values", f"{held} has no value {key}: {meant}")
    if release.pin:
        before = result.checked.get(release.pin.name, Checked(release.pin.version))
        keys = before.keys | found.known
        result.checked[release.pin.name] = Checked(release.pin.version, keys)


def _rendered(result: Examination, release: ChartRelease, path: Path, helm: Path | None) -> None:
    if helm is None:
        return
    rendering = render(helm, path, release)
    result.unchecked.update(rendering.unchecked)
    result.crds.update(schemas(rendering.manifests))
    for problem in rendering.problems:
        _add(result, release, "chart-render", problem)


def _unprefixed(text: str) -> str:
    """A chart's name and version without the v that some publishers leave out of one of two places."""
    return text.replace(" v", " ")


def _add(result: Examination, release: ChartRelease, rule: str, message: str) -> None:
    result.findings.add(Finding(rule, f"release {release.name}", message, release.source))
