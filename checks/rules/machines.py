"""Machine configurations: they have the fields that Talos and kubelet have."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from checks.manifest_yaml import LOADER
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_FIELDS = Path(__file__).parent / "talos_fields.yaml"
_LEAVES = ""
"""In the facts: the fields of a section that are not looked into."""


@rule(
    "talos-field",
    title="A machine configuration has the fields that Talos has",
    why="Talos refuses the whole configuration of the node; kubelet does not start with a field that it does not know.",
    remedy="Use a field that there is.",
    fast=True,
)
def fields(platform: Platform) -> Iterator[Finding]:
    """Fields of `machine` and `cluster` that Talos, or kubelet below `extraConfig`, does not know."""
    for document in platform.talos.patches:
        if "kind" not in document:  # others are documents of their own, with another schema
            for path, problem in _unknown(document, _facts(), ""):
                yield finding("the Talos configuration", path, problem, platform.talos.where)


def _unknown(value: dict[str, Any], known: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    names = {*known.get(_LEAVES, []), *known} - {_LEAVES}
    for key, inner in value.items():
        place = f"{path}.{key}" if path else key
        if key not in names:
            below = [f"{name}.{key}" for name in known if name != _LEAVES and key in known[name].get(_LEAVES, [])]
            yield place, f"is no field there: {there([*names, *below], below[0] if below else key)}"
        elif isinstance(known.get(key), dict) and isinstance(inner, dict):
            yield from _unknown(inner, known[key], place)


@cache
def _facts() -> dict[str, Any]:
    return dict(yaml.load(_FIELDS.read_text(), LOADER))  # noqa: S506 - a safe loader
