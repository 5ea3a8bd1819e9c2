"""A Helm chart on disk: what it declares about its values, including those of its subcharts.

Reads archives and directories and renders nothing. A place in the values is known by three things: the defaults in
`values.yaml`, the schema, and what the templates use.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from checks.charts.schema import Schema
from checks.charts.templates import scan
from checks.charts.uses import Inclusion, Keys, Use, resolve


@dataclass
class Chart:
    """A chart: its name, its version, and everything that says which values it knows."""

    name: str
    version: str
    defaults: dict[str, Any] = field(default_factory=dict)
    schemas: dict[Keys, Schema] = field(default_factory=dict)
    """By the place of the chart that brings it: the root, or a subchart's."""
    uses: Use = field(default_factory=Use)


def load(path: Path) -> Chart:
    """Read the archive or directory at `path`.

    Raises:
        ValueError: there is no chart at `path`.
    """
    files = _archive(path.read_bytes()) if path.is_file() else _directory(path)
    if "Chart.yaml" not in files:
        raise ValueError(f"{path}: no Chart.yaml in it: give a Helm chart")
    metadata = _yaml(files["Chart.yaml"])
    chart = Chart(str(metadata["name"]), str(metadata["version"]))
    inclusions: set[Inclusion] = set()
    chart.defaults = _add(chart, inclusions, files, metadata, [()])
    resolve(chart.uses, inclusions)
    return chart


def _add(
    chart: Chart,
    inclusions: set[Inclusion],
    files: Mapping[str, bytes],
    metadata: Mapping[str, Any],
    places: list[Keys],
) -> dict[str, Any]:
    """Add the schema and the uses of one chart, whose values lie at `places`, and return its defaults."""
    defaults = _yaml(files.get("values.yaml", b""))
    if "values.schema.json" in files:
        schema = json.loads(files["values.schema.json"])
        chart.schemas.update({place: Schema(schema, schema) for place in places})
    for name, content in sorted(files.items()):
        if name.startswith("templates/") and name != "templates/NOTES.txt":
            inclusions |= scan(content.decode(errors="replace"), chart.uses, places)
    dependencies = metadata.get("dependencies") or []
    for dependency in dependencies:
        switches = [part.strip() for part in dependency.get("condition", "").split(",") if part.strip()]
        switches += [f"tags.{tag}" for tag in dependency.get("tags") or []]
        for place in places:
            for switch in switches:
                chart.uses.at((*place, *switch.split(".")))
    for below in _subcharts(files):
        about = _yaml(below["Chart.yaml"])
        aliases = [d.get("alias") or d["name"] for d in dependencies if d["name"] == about["name"]] or [about["name"]]
        own = [(*place, str(alias)) for place in places for alias in aliases]
        # The templates of a library run in the chart that includes them, on its values.
        library = about.get("type") == "library"
        found = _add(chart, inclusions, below, about, [*own, *places] if library else own)
        shared = {"global": found["global"]} if isinstance(found.get("global"), dict) else {}
        defaults = _merged({**shared, **{str(alias): found for alias in aliases}}, defaults)
    return defaults


def _merged(under: Any, over: Any) -> Any:
    """How Helm merges a default with the value that a parent chart sets for it."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {key: _merged(under.get(key), value) for key, value in over.items()}
    return under if over is None else over


def _subcharts(files: Mapping[str, bytes]) -> list[dict[str, bytes]]:
    """The files of each chart below charts/, whether unpacked or an archive."""
    found: dict[str, dict[str, bytes]] = {}
    for name, content in files.items():
        parts = PurePosixPath(name).parts
        if parts[0] == "charts" and len(parts) == 2 and name.endswith(".tgz"):
            found[name] = _archive(content)
        elif parts[0] == "charts" and len(parts) > 2:
            found.setdefault(parts[1], {})["/".join(parts[2:])] = content
    return [below for _, below in sorted(found.items()) if "Chart.yaml" in below]


def _archive(content: bytes) -> dict[str, bytes]:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member)
            if stream is not None:
                files[member.name.partition("/")[2]] = stream.read()
    return files


def _directory(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def _yaml(content: bytes) -> dict[str, Any]:
    return yaml.safe_load(content) or {}
