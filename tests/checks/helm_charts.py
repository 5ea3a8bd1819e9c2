"""Small charts that the tests write, and releases of them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.charts.releases import ChartRelease
from components.kit.versions import ChartPin

NAME, VERSION = "demo", "1.2.3"
PIN = ChartPin(NAME, VERSION, "https://charts.example.org")

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
"""


def write_chart(
    directory: Path,
    values: str = "",
    *,
    templates: str | Mapping[str, str] = "",
    schema: Mapping[str, Any] | None = None,
    name: str = NAME,
    version: str = VERSION,
    **metadata: Any,
) -> Path:
    """Write an unpacked chart below `directory`; `templates` is the data of its only object, or files by name."""
    chart = directory / name
    files = {"objects.yaml": CONFIG_MAP + templates} if isinstance(templates, str) else templates
    (chart / "templates").mkdir(parents=True)
    about = {"apiVersion": "v2", "name": name, "version": version, **metadata}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(about))
    (chart / "values.yaml").write_text(values)
    for file, content in files.items():
        (chart / "templates" / file).write_text(content)
    if schema is not None:
        (chart / "values.schema.json").write_text(json.dumps(schema))
    return chart


def pack(chart: Path, archive: Path) -> Path:
    """Pack an unpacked chart as `helm package` does."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(chart, chart.name)
    return archive


def release_of(values: Mapping[str, Any], pin: ChartPin | None = PIN, path: Path | None = None) -> ChartRelease:
    """A release of the chart at `path`, or of a pinned one."""
    return ChartRelease("demo", "apps", dict(values), None if path else pin, path, "v1.36.3", "program.py:7")
