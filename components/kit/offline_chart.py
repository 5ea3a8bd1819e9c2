"""A local chart whose values Helm can validate without internet access.

Owns copies of charts in the user's cache. Some charts' `values.schema.json` refers to schemas on the web, as that of
F5's nginx-ingress does; Helm fetches them at each preview and update, and a site without internet cannot install such a
chart. Pulumi's Release has no counterpart to `helm --skip-schema-validation`. The copy keeps the schema but accepts any
value where it refers to the web. To be dropped with https://github.com/nginx/kubernetes-ingress/issues/7193.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = "values.schema.json"


def files(chart: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a chart's files, sorted; in an archive, names include the chart's own directory."""
    if chart.is_dir():
        for path in sorted(p for p in chart.rglob("*") if p.is_file()):
            yield str(path.relative_to(chart)), path.read_bytes()
        return
    with tarfile.open(chart) as archive:
        for member in sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name):
            content = archive.extractfile(member)
            yield member.name, content.read() if content else b""


def without_remote_schemas(chart: Path) -> Path:
    """The chart itself or, where its schemas refer to the web, a copy whose schemas do not."""
    kept, changed = [], False
    for name, content in files(chart):
        local = _local(content) if Path(name).name == SCHEMA else content
        changed = changed or local != content
        kept.append((f"{chart.name}/{name}" if chart.is_dir() else name, local))
    return _packed(chart, kept) if changed else chart


def _local(content: bytes) -> bytes:
    """A schema without references to the web; unchanged bytes if it has none."""
    schema = json.loads(content)
    local = _without_references(schema)
    return content if local == schema else json.dumps(local, indent=2).encode()


def _without_references(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_references(item) for item in part]
    if isinstance(part, dict):
        remote = str(part.get("$ref", "")).startswith(("http://", "https://"))
        return {key: _without_references(value) for key, value in part.items() if not (remote and key == "$ref")}
    return part


def _packed(chart: Path, content: list[tuple[str, bytes]]) -> Path:
    """An archive of `content` in the cache, named after a digest of it."""
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(base) / "homelab" / "charts" / f"{chart.name.removesuffix('.tgz')}-{digest}.tgz"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch,
        tarfile.open(fileobj=scratch, mode="w:gz") as archive,
    ):
        for name, data in content:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    Path(scratch.name).replace(path)
    return path
