"""What Helm charts make: from the record, or rendered by Helm where the chart lies in this repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.charts.releases import ChartRelease
from checks.charts.render import render
from checks.model.distil import distilled, documents
from checks.model.objects import CLUSTER_SCOPED, Manager, Object, Release
from checks.model.records import Record, Site, find, nearest

_rendered: dict[str, list[dict[str, Any]]] = {}


@dataclass(frozen=True)
class ChartProblem:
    """Why it is not known what a release makes, or that its chart cannot be rendered."""

    release: Release
    kind: str
    """`unknown` values, `unrecorded`, `absent` or `broken`."""
    message: str


def made_by(
    releases: Iterable[Release],
    records: Mapping[str, Record],
    site: Site,
    *,
    charts: Path,
    helm: Path | None,
    kubernetes: str,
) -> tuple[list[Object], list[ChartProblem]]:
    """The objects of all releases, and what is not known of them.

    charts: the directory of this repository's own charts.
    """
    found: list[Object] = []
    problems: list[ChartProblem] = []
    for release in releases:
        own = charts / release.chart
        contents: list[dict[str, Any]] | None
        problem: ChartProblem | None
        if release.unknown_values:
            contents, problem = None, ChartProblem(release, "unknown", release.unknown_values)
        elif release.own and (own / "Chart.yaml").is_file():
            contents, problem = _own(release, own, helm, kubernetes)
        else:
            contents, problem = _recorded(release, records.get(release.chart), site)
        if problem is not None:
            problems.append(problem)
        release.made = contents is not None and problem is None
        manager = Manager("helm", f"{release.namespace}/{release.name}")
        for content in contents or []:
            found.append(Object(content, manager, release.where, release.step, release=release))
    return found, problems


def _recorded(
    release: Release, record: Record | None, site: Site
) -> tuple[list[dict[str, Any]] | None, ChartProblem | None]:
    held = f"{release.chart} {release.version}"
    if record is None or record.version.removeprefix("v") != release.version.removeprefix("v"):
        other = (
            f"charts/records/ has {record.chart} {record.version}" if record else "charts/records/ has no such chart"
        )
        return None, ChartProblem(release, "unrecorded", f"{held} was never recorded: {other}")
    if record.absent:
        return None, ChartProblem(release, "absent", record.source)
    contents = find(record, release.values, site)
    if contents is None:
        # What it makes with other values is nearer to the truth than nothing; the finding says that it is not known.
        message = f"nobody recorded what {held} makes with these values"
        return nearest(record, release.values, site), ChartProblem(release, "unrecorded", message)
    return contents, None


def _own(
    release: Release, chart: Path, helm: Path | None, kubernetes: str
) -> tuple[list[dict[str, Any]] | None, ChartProblem | None]:
    if helm is None:
        return None, ChartProblem(release, "broken", "helm was not found, and this repository's own charts need it")
    key = json.dumps([release.name, release.namespace, release.values, kubernetes, _state(chart)], default=str)
    if key not in _rendered:
        asked = ChartRelease(release.name, release.namespace, release.values, None, chart, kubernetes, release.where)
        rendering = render(helm, chart, asked)
        if rendering.problems and not rendering.manifests:
            return None, ChartProblem(release, "broken", rendering.problems[0])
        _rendered[key] = [whole(one, release.namespace) for one in documents(rendering.manifests)]
    return _rendered[key], None


def _state(chart: Path) -> list[tuple[str, str]]:
    """What a chart consists of, wherever it lies."""
    return [
        (str(file.relative_to(chart)), hashlib.sha256(file.read_bytes()).hexdigest())
        for file in sorted(chart.rglob("*"))
        if file.is_file()
    ]


def whole(content: dict[str, Any], namespace: str) -> dict[str, Any]:
    """A rendered object of an own chart: everything but the values of Secrets, with its namespace."""
    if content["kind"] in ("Secret", "CustomResourceDefinition"):
        return distilled(content, namespace)
    metadata = dict(content.get("metadata") or {})
    if content["kind"] not in CLUSTER_SCOPED:
        metadata.setdefault("namespace", namespace)
    return {**content, "metadata": metadata}
