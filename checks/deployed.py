"""What Flux deploys, as one JSON document by object: what a reviewer of a change in `gitops/` compares.

Owns which objects of the model those are: what Kustomizations apply, built and substituted by the controllers' own
code, and what the charts of HelmReleases make, as far as that is known. Secrets are without their values, as in the
model. An object that two parts declare is there once, as the later one has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from checks.model.objects import Object
from checks.model.platform import Platform


def deployed(platform: Platform) -> dict[str, dict[str, Any]]:
    """The objects by kind, API group, namespace and name.

    Raises:
        ValueError: the tree, or a part of it, cannot be built; with the reason.
    """
    tree = platform.tree
    if tree is None:
        return {}
    wrong = [tree.unbuilt, *(f"{one.id}: {one.error}" for one in tree.kustomizations if one.error)]
    if any(wrong):
        raise ValueError("; ".join(filter(None, wrong)))
    return {_id(thing): thing.content for thing in _of_flux(platform.objects)}


def _of_flux(objects: Iterable[Object]) -> list[Object]:
    return [
        thing
        for thing in objects
        if thing.manager.system == "flux"
        or (thing.release is not None and thing.release.made and thing.release.manager.system == "flux")
    ]


def _id(thing: Object) -> str:
    kind = f"{thing.kind}.{thing.group}" if thing.group else thing.kind
    return f"{kind} {thing.namespace}/{thing.name}" if thing.namespace else f"{kind} {thing.name}"
