"""The fixture files of this directory.

Each changes `base.yaml`: `change` maps dotted paths to new values, `remove` lists dotted paths. A file in refused/ has
in `expect` every line of the refusal; one in refused_with_credentials/ has also `secret`, the credentials by key (null
for one of the right form), and `plain`, what else the stack's file has as text. One in accepted/ has in `gives`
attributes of the settings, as text.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
BASE: dict[str, Any] = yaml.safe_load((HERE / "base.yaml").read_text())


def files(folder: str) -> list[Path]:
    """The fixture files of a folder, by name."""
    return sorted((HERE / folder).glob("*.yaml"))


def read(path: Path) -> dict[str, Any]:
    """One fixture file."""
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def changed(fixture: dict[str, Any]) -> dict[str, Any]:
    """The base configuration with a fixture's changes."""
    raw = copy.deepcopy(BASE)
    for dotted in fixture.get("remove", ()):
        parent, key = _parent(raw, dotted)
        del parent[key]
    for dotted, value in fixture.get("change", {}).items():
        parent, key = _parent(raw, dotted)
        parent[key] = value
    return raw


def _parent(raw: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    *way, key = dotted.split(".")
    for part in way:
        raw = raw.setdefault(part, {})
    return raw, key
