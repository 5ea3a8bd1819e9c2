"""Renders a chart with a release's values by Helm itself, which also validates them against the chart's schema.

Nothing is fetched: a part of a schema that is on another web server allows anything here. No cluster is asked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from checks.charts.releases import ChartRelease
from checks.charts.schema import without_remote_references

_SECONDS = 120


@dataclass
class Rendering:
    """What Helm made of a release."""

    manifests: str = ""
    """The chart's objects as YAML documents, CRDs included. May show secrets: never print them."""
    problems: list[str] = field(default_factory=list)
    """Why it failed, or what it warned of."""
    unchecked: list[str] = field(default_factory=list)
    """Addresses of schemas that the chart's own schema refers to, and that were not fetched."""


def render(helm: Path, chart: Path, release: ChartRelease) -> Rendering:
    """Render the chart at `chart` as `helm install` would on a cluster of the release's Kubernetes version."""
    with tempfile.TemporaryDirectory(prefix="chart-") as scratch:
        offline, unchecked = _offline(chart, Path(scratch))
        values = Path(scratch) / "values.json"
        values.write_text(json.dumps(release.values))
        command = [str(helm), "template", release.name, str(offline), "--include-crds"]
        command += ["--namespace", release.namespace, "--values", str(values), "--kube-version", release.kubernetes]
        result = subprocess.run(
            command, env=_environment(Path(scratch)), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    messages = [line for line in result.stderr.replace(str(offline), str(chart)).splitlines() if line.strip()]
    problems = [line for line in messages if "warning" in line.lower()]
    if result.returncode:
        problems = [" ".join(line.strip() for line in messages)[:2000] or f"helm ended with {result.returncode}"]
    return Rendering(result.stdout, problems, unchecked)


def _offline(chart: Path, scratch: Path) -> tuple[Path, list[str]]:
    """The chart, or a copy of it in which no schema refers to another server, and what was referred to."""
    copy = scratch / "chart"
    if chart.is_dir():
        shutil.copytree(chart, copy)
    else:
        with tarfile.open(chart) as archive:
            archive.extractall(copy, filter="data")
        [copy] = copy.iterdir()
    dropped: set[str] = set()
    for file in copy.rglob("values.schema.json"):
        schema, addresses = without_remote_references(json.loads(file.read_text()))
        if addresses:
            file.write_text(json.dumps(schema))
            dropped.update(addresses)
    return (copy, sorted(dropped)) if dropped else (chart, [])


def _environment(scratch: Path) -> dict[str, str]:
    """The caller's environment without its own Helm and cluster."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
    own = {f"HELM_{kind}_HOME": str(scratch / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    return {**kept, **own, "KUBECONFIG": os.devnull}
