"""The border between the program and Flux: what Flux applies lies in namespaces that are left to it."""

from __future__ import annotations

from collections.abc import Iterator

from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule
from components.gitops.flux import NAMESPACE
from components.kit.namespace import OWNER_LABEL, PROGRAM


@rule(
    "closed-namespace",
    title="Flux applies nothing in a namespace of the program",
    why="An admission policy of the program refuses it, and the Kustomization fails (components/gitops/border.py).",
    remedy="Give it to an application's namespace (stacks/applications.py), or declare it in the program.",
)
def closed(platform: Platform) -> Iterator[Finding]:
    """Objects of the tree, and of its releases, in a namespace with the program's label."""
    owned = {one.name for one in platform.of_kind("", "Namespace") if one.labels.get(OWNER_LABEL) == PROGRAM}
    seen: set[tuple[str, str]] = set()
    for thing in platform.objects:
        release = thing.release
        of_flux = thing.manager.system == "flux" or (release is not None and release.manager.system == "flux")
        own_business = thing.namespace == NAMESPACE and thing.group.endswith("toolkit.fluxcd.io")
        if not of_flux or thing.namespace not in owned or own_business:
            continue
        by = release if release is not None else thing.manager
        # Two owners of one release are a fault of their own.
        if (str(by), thing.namespace) in seen or (release is not None and platform.doubled(release)):
            continue
        if any(other is not thing and other.identity == thing.identity for other in platform.objects):
            continue
        seen.add((str(by), thing.namespace))
        problem = f"is {thing.namespace}, whose label {OWNER_LABEL} is {PROGRAM}, and {by} applies it"
        yield finding(thing, "metadata.namespace", problem, thing.where)
