"""Finds applications for which Authentik stands on one side only: in `gitops/`, or in the table of `stacks/proxied.py`.

The rule: a folder with the component `sign-on` has a row in `PROXIED` with its release's name and namespace, and no
component `https`, which would lead people past Authentik. Without a row nobody reaches it, and with `https` everybody
does. A row whose folder is not there yet is no fault: the row comes before the first commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from checks.gitops.tree import GITOPS, documents
from checks.graph import Finding
from components.identity.proxied import Proxied
from stacks.proxied import PROXIED

_RULE = "sign-on"
_OURS, _PAST = "sign-on", "https"


def one_sided(directory: Path = GITOPS, rows: Iterable[Proxied] = PROXIED) -> list[Finding]:
    """Return what differs between the two sides, sorted."""
    known = {row.slug: row for row in rows}
    return sorted(found for file in directory.rglob("kustomization.yaml") for found in _folder(file, directory, known))


def _folder(file: Path, directory: Path, known: dict[str, Proxied]) -> Iterator[Finding]:
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    components = {Path(one).name for one in content.get("components") or []}
    names = [
        str(document["metadata"]["name"])
        for _, document in documents(file.parent)
        if document.get("kind") == "HelmRelease"
    ]
    where = str(file.relative_to(directory.parent))
    for name in names:
        row = known.get(name)
        if _OURS not in components:
            if row is not None and row.namespace == content.get("namespace"):
                yield Finding(
                    _RULE,
                    name,
                    "has a row in PROXIED of stacks/proxied.py, but not the component sign-on: add it",
                    where,
                )
            continue
        if row is None:
            yield Finding(
                _RULE, name, "has the component sign-on, but no row in PROXIED of stacks/proxied.py: add it", where
            )
        elif row.namespace != content.get("namespace"):
            yield Finding(
                _RULE,
                name,
                f"runs in namespace {content.get('namespace')!r}, but its row in stacks/proxied.py names "
                f"{row.namespace!r}, where Authentik would look for it",
                where,
            )
        if _PAST in components:
            yield Finding(_RULE, name, "has the component https too, which leads past the sign-on: leave it out", where)
