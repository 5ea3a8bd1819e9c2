"""Finds images of a moving tag in `gitops/`: what runs would change without a commit, and differ from node to node.

The rule: an image that a file names has an exact tag or a digest. One of our own chart has both, which its schema says
(`charts/app/values.schema.json`); a third-party chart that is told nothing takes the one of its own version.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checks.gitops.tree import GITOPS, documents
from checks.graph import Finding

_RULE = "image"
_MOVING = frozenset(
    {"latest", "stable", "main", "master", "edge", "nightly", "dev", "develop", "head", "rolling", "release"}
)
_REFERENCES = ("image", "imageName")


def moving(directory: Path = GITOPS) -> list[Finding]:
    """Return the images below a directory that have no exact tag, sorted."""
    return sorted(
        Finding(
            _RULE,
            f"{document.get('kind')} {document.get('metadata', {}).get('name', '')}".strip(),
            f"{where} is {value!r}: name one version, and a digest where there is one",
            str(file.relative_to(directory.parent)),
        )
        for file, document in documents(directory)
        for where, value in _images(document, ())
    )


def _images(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each tag or reference that moves, with its place."""
    if isinstance(value, dict):
        for key, item in value.items():
            here = (*path, str(key))
            if key == "tag" and item is not None and (not str(item) or str(item) in _MOVING):
                yield ".".join(here), str(item)
            elif key in _REFERENCES and isinstance(item, str) and _moves(item):
                yield ".".join(here), item
            else:
                yield from _images(item, here)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _images(item, (*path, str(number)))


def _moves(reference: str) -> bool:
    name, _, digest = reference.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return not digest and (not tag or tag in _MOVING)
