"""The record of what charts make with our values: `charts/records/<chart>.json`.

The charts themselves are not in this repository, and neither is the network that serves them. The record is: facts in
this project's own form, by chart, version and values. What a site decides (an address, its domain, a digest, a number
of replicas) does not count, and the text around it does: with another address a program's whole configuration is the
same value, and with another word it is another. What a site changes is put in where the record is used.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.model.objects import walk

DIRECTORY = Path(__file__).resolve().parents[2] / "charts" / "records"

_ADDRESS = re.compile(r"\b(?!0\.0\.0\.0\b|127\.0\.0\.1\b)(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?\b")
"""An address or a network. Every address of a machine, and its address for itself, are no site's."""
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_KINDS = ("fields", "schemas")
_NUMBERS = ("replicas", "replicaCount")
_SITES = "the site's"
_SEVERAL = re.compile(rf"{_SITES}(?:[\s,-]+{_SITES})+")
"""As many as a site has, which does not count either."""


@dataclass(frozen=True)
class Made:
    """What a chart makes with one set of values."""

    values: str
    """The digest of the values, without what a site decides."""
    site: Mapping[str, Any]
    """What the site decided when it was recorded, by path; its domains under the empty one."""
    objects: list[dict[str, Any]]


@dataclass
class Record:
    """What is known of one chart."""

    chart: str
    version: str
    source: str = ""
    """Where the chart came from, in words; and what of it was not there."""
    digest: str = ""
    """SHA-256 over the files of the chart that was rendered; empty where none was."""
    made: list[Made] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    """Fields of the custom resources that the chart defines, see `distil.fields`."""
    absent: bool = False
    """Whether nobody has had the chart, so that what it makes is unknown."""
    schemas: dict[str, Any] = field(default_factory=dict)
    """The schemas of the same, see `distil.schemas`."""


@dataclass(frozen=True)
class Site:
    """Words in values that a stack's settings decide."""

    domains: Collection[str] = ()
    name: str = ""

    def masked(self, path: str, value: Any) -> Any:
        """A value at a path without what is the site's own."""
        if isinstance(value, list):
            parts = [self.masked(path, one) for one in value]
            return value if parts == value else [part for part, _ in itertools.groupby(parts)]
        if isinstance(value, int) and not isinstance(value, bool):
            return _SITES if path.endswith(_NUMBERS) else value
        if not isinstance(value, str):
            return value
        if _DIGEST.match(value) or (self.name and value == self.name):
            return _SITES
        text = value
        if self.name and text.endswith(f"-{self.name}"):
            text = text.removesuffix(self.name) + _SITES
        # The longest first: a name server's name may end in the domain.
        for word in sorted(self.domains, key=len, reverse=True):
            text = text.replace(word, _SITES)
        return _SEVERAL.sub(_SITES, _ADDRESS.sub(_SITES, text))


def split(values: Mapping[str, Any], site: Site) -> tuple[str, dict[str, Any]]:
    """The digest of the values without what the site decides, and the values with something of that, by path."""
    own: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for path, value in _leaves(values):
        rest[path] = site.masked(path, value)
        if rest[path] != value:
            own[path] = value
    own[""] = list(site.domains)
    text = json.dumps(rest, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16], own


def _leaves(values: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    inside = ""
    for path, value in walk(values):
        if inside and path.startswith(inside):
            continue
        inside = ""
        if isinstance(value, list) and value and not any(isinstance(one, (dict, list)) for one in value):
            found.append((path, value))
            inside = f"{path}["
        elif not isinstance(value, (dict, list)) or not value:
            found.append((path, value))
    return found


def find(record: Record, values: Mapping[str, Any], site: Site) -> list[dict[str, Any]] | None:
    """What the chart makes with these values; None where nobody recorded it."""
    digest, own = split(values, site)
    return next((_here(made, own) for made in record.made if made.values == digest), None)


def nearest(record: Record, values: Mapping[str, Any], site: Site) -> list[dict[str, Any]] | None:
    """What the chart makes with other values, at this site; None where nobody recorded any."""
    return _here(record.made[0], split(values, site)[1]) if record.made else None


def _here(made: Made, own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was made, with what this site decides in place of what another one decided."""
    changes = dict(
        pair for path, then in made.site.items() for pair in _pairs(then, own.get(path)) if pair[0] != pair[1]
    )
    return [_changed(one, changes) for one in made.objects] if changes else made.objects


def _pairs(then: Any, now: Any) -> list[tuple[str, str]]:
    """Texts that the site decided then, with what it decides now."""
    if isinstance(then, str) and isinstance(now, str):
        return [(then, now)]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [pair for one, other in zip(then, now, strict=True) for pair in _pairs(one, other)]
    return []


def _changed(value: Any, changes: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _changed(inner, changes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_changed(inner, changes) for inner in value]
    if isinstance(value, str):
        # The longest first: a name contains its domain.
        for then in sorted(changes, key=len, reverse=True):
            if then in value:
                return value.replace(then, changes[then])
    return value


def read(directory: Path = DIRECTORY) -> dict[str, Record]:
    """Every record by chart."""
    found = {}
    for file in sorted(directory.glob("*.json")):
        content = json.loads(file.read_text())
        made = [Made(one["values"], one["site"], one["objects"]) for one in content.get("made", [])]
        found[content["chart"]] = Record(
            content["chart"],
            content["version"],
            content.get("source", ""),
            content.get("digest", ""),
            made,
            content.get("fields", {}),
            content.get("absent", False),
            content.get("schemas", {}),
        )
    return found


def write(record: Record, directory: Path = DIRECTORY) -> None:
    """Write one record; equal content gives equal bytes."""
    content: dict[str, Any] = {"chart": record.chart, "version": record.version, "source": record.source}
    content |= {"digest": record.digest} if record.digest else {}
    content |= {"absent": True} if record.absent else {}
    made = sorted(record.made, key=lambda one: one.values)
    content["made"] = [{"values": one.values, "site": dict(one.site), "objects": one.objects} for one in made]
    content["fields"] = record.fields
    content["schemas"] = record.schemas
    directory.mkdir(parents=True, exist_ok=True)
    lines = _lines(content)
    (directory / f"{record.chart}.json").write_text(lines + "\n")


def _lines(content: dict[str, Any]) -> str:
    """JSON with one object a line, so that a change shows as the objects that changed."""

    def compact(value: Any) -> str:
        return json.dumps(value, sort_keys=True, separators=(", ", ": "), default=str)

    parts = [
        f"  {json.dumps(key)}: {compact(content[key])}" for key in content if key not in ("made", "fields", "schemas")
    ]
    made = []
    for one in content["made"]:
        objects = ",\n".join(f"        {compact(thing)}" for thing in one["objects"])
        made.append(
            f'    {{"values": {compact(one["values"])}, "site": {compact(one["site"])}, "objects": ['
            f"\n{objects}\n    ]}}"
        )
    parts.append('  "made": [\n' + ",\n".join(made) + "\n  ]")
    for part in _KINDS:
        kinds = ",\n".join(f"    {json.dumps(kind)}: {compact(tree)}" for kind, tree in sorted(content[part].items()))
        parts.append(f'  "{part}": {{\n' + kinds + "\n  }")
    return "{\n" + ",\n".join(parts) + "\n}"
