"""The values that a HelmRelease gives to its chart: those that `valuesFrom` names, in its order, and its own over them.

Follows helm-controller (https://fluxcd.io/flux/components/helm/helmreleases/#values-references): maps are merged, the
later value wins, a list replaces a list, and `targetPath` puts one value at one place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from checks.model.objects import Object, items, keys_of, mapping
from checks.model.program import HIDDEN, LATER

KEY = "values.yaml"
"""The key that is read where `valuesKey` names none."""

Find = Callable[[str, str, str], Object | None]
"""The ConfigMap or Secret of a kind, a namespace and a name."""

_EXPRESSION = re.compile(r"\{\{.*?\}\}")
_PATH = re.compile(r"[\w-]+(\.[\w-]+)*")
_INTEGER = re.compile(r"0|-?[1-9]\d*")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass
class Given:
    """The values of a release, and how they came about."""

    values: dict[str, Any] = field(default_factory=dict)
    layers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Whole sets of values with what holds each, the last of them over all others."""
    unknown: str = ""
    """What of them nobody knows before an `up`; empty where all is known."""


def given_to(release: Object, find: Find) -> Given:
    """The values of a HelmRelease; a value that is secret stands in them as a word."""
    given = Given()
    for number, reference in enumerate(items(release.spec.get("valuesFrom"))):
        problem = _add(given, reference, release.namespace, find)
        if problem and not given.unknown:
            given.unknown = f"spec.valuesFrom[{number}] {problem}"
    own = mapping(release.spec.get("values"))
    given.layers.append(("spec.values", own))
    given.values = merged(given.values, own)
    return given


def _add(given: Given, reference: Mapping[str, Any], namespace: str, find: Find) -> str:
    """Merge one reference; what is not known of it, in words."""
    kind, name = str(reference.get("kind")), str(reference.get("name"))
    key, path = str(reference.get("valuesKey") or KEY), str(reference.get("targetPath") or "")
    holder = find(kind, namespace, name)
    if reference.get("optional") and (holder is None or key not in keys_of(holder)):
        return ""
    text = _text(holder, key) if holder is not None else None
    if path:
        if not _PATH.fullmatch(path):
            return f"has the targetPath {path}, which is not looked into: use names with dots between them"
        given.values = merged(given.values, _at(path.split("."), HIDDEN if text is None else _typed(text)))
        return ""
    if text is None or text in (HIDDEN, LATER):
        return f"takes values from the key {key} of {kind} {namespace}/{name}, whose text is not known offline"
    try:
        content = yaml.safe_load(_EXPRESSION.sub(HIDDEN, text))
    except yaml.YAMLError:
        content = text
    if not isinstance(content or {}, dict):
        return f"takes values from the key {key} of {kind} {namespace}/{name}, which holds no map of values"
    given.layers.append((f"{kind} {namespace}/{name}", content or {}))
    given.values = merged(given.values, content or {})
    return ""


def _text(holder: Object, key: str) -> str | None:
    """What a ConfigMap or Secret holds under a key, as far as it is written down somewhere."""
    plain = holder.kind == "ConfigMap" or holder.manager.system == "operator"
    texts = {**(mapping(holder.content.get("data")) if plain else {}), **mapping(holder.content.get("stringData"))}
    return texts[key] if isinstance(texts.get(key), str) else None


def _at(path: list[str], value: Any) -> dict[str, Any]:
    return {path[0]: _at(path[1:], value) if path[1:] else value}


def _typed(text: str) -> Any:
    """A text as Helm's `--set` reads it."""
    return _WORDS.get(text, int(text) if _INTEGER.fullmatch(text) else text)


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values merged as Helm does, the later over the earlier."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
