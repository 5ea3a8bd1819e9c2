"""The record of what was checked against real charts: `charts/checked.yaml`.

The charts themselves are not in this repository. The record is: names of keys, by chart and version. With it a change
of values or of a version is noticed wherever the repository is, and cannot pass without a look into the chart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from checks.charts.keys import covers, paths
from checks.charts.releases import ChartRelease
from checks.graph import Finding

FILE = Path(__file__).resolve().parents[2] / "charts" / "checked.yaml"

_HEADER = """\
# Which keys of which chart were looked up in the chart itself, at the version that the program pins. A path that ends
# in `.*` is open: the chart allows anything below it. Written by: make charts CHARTS_MIRROR=DIRECTORY
"""


@dataclass(frozen=True)
class Checked:
    """What was checked of one chart."""

    version: str
    keys: frozenset[str] = field(default_factory=frozenset)


def read(file: Path) -> dict[str, Checked]:
    """Return the record by chart; empty where there is none."""
    content = yaml.safe_load(file.read_text()) if file.is_file() else {}
    return {name: Checked(str(c["version"]), frozenset(c["keys"])) for name, c in (content or {}).items()}


def write(checked: Mapping[str, Checked], file: Path) -> None:
    """Write the record; equal content gives equal bytes."""
    content = {name: {"version": checked[name].version, "keys": sorted(checked[name].keys)} for name in sorted(checked)}
    file.write_text(_HEADER + yaml.safe_dump(content, sort_keys=False, width=120))


def unrecorded(releases: Iterable[ChartRelease], checked: Mapping[str, Checked]) -> list[Finding]:
    """Return what the program gives to a pinned chart, and nobody looked up in it."""
    found = set()
    for release in releases:
        if release.pin is None:
            continue
        name, version = release.pin.name, release.pin.version
        entry = checked.get(name, Checked(""))
        remedy = f"put {name}-{version}.tgz into a directory, and run: make charts CHARTS_MIRROR=DIRECTORY"
        if entry.version != version:
            held = f"{name} {entry.version}" if entry.version else f"no {name}"
            message = f"{name} {version} is pinned, and charts/checked.yaml holds {held}: {remedy}"
            found.add(Finding("chart-record", f"release {release.name}", message, release.source))
            continue
        for path in set(paths(release.values)):
            if not covers(entry.keys, path):
                message = f"nobody looked up whether {name} {version} knows {path}: {remedy}"
                found.add(Finding("chart-record", f"release {release.name}", message, release.source))
    return sorted(found)
