"""All releases of a stack: the program's, and the HelmReleases of `gitops/`, built, substituted, with all their values.

Both forms of each stack are looked at: a public authority signs for the platform, or its own, which changes what
signing on gives to a release. Applications that are off are looked at as if they were on, so that whoever switches one
on needs no chart for it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from checks.charts.releases import ChartRelease, of_graph, without_mirror
from checks.gitops.tree import GITOPS, switch_on
from checks.model.building import Sources, build
from checks.model.platform import Platform
from checks.program import ROOT, SHAPES, Change, private, recorded_with_settings
from components.kit.versions import ChartPin


def of_repository(stacks: Iterable[str], manifests: Path | None) -> list[ChartRelease]:
    """Return the releases of the program and of `gitops/` in some stacks; equal ones once.

    manifests: the program that builds the tree, see lab/manifests.

    Raises:
        ValueError: the tree does not build, or a release has values or a version that nobody knows.
    """
    found: list[ChartRelease] = []
    for stack in stacks:
        of_stack = platform(stack, None, manifests)
        for one in of_graph(of_stack.graph, of_stack.settings["versions"]["kubernetes"]):
            found += [one] if one not in found else []
        for change in (None, private):
            found += [one for one in of_platform(platform(stack, change, manifests)) if one not in found]
    return found


def platforms(stacks: Iterable[str], manifests: Path | None) -> Iterator[Platform]:
    """The model of each stack in each shape that its file may have, without what charts make."""
    for stack in stacks:
        for change in (None, *SHAPES):
            try:
                yield platform(stack, change, manifests)
            except ValueError:
                if change is None:
                    raise
                # The stack's other settings refuse this change.


@cache
def platform(stack: str, change: Change | None, manifests: Path | None) -> Platform:
    """The model of a stack with every application switched on, without what charts make.

    Raises:
        ValueError: the settings refuse the change, or the tree was not built.
    """

    def changed(settings: dict[str, Any]) -> None:
        without_mirror(settings)
        if change is not None:
            change(settings)

    graph, settings = recorded_with_settings(stack, change=changed)
    made = build(stack, graph, settings, {}, Sources(_complete(), manifests=manifests))
    if made.tree is not None and made.tree.unbuilt:
        raise ValueError(f"gitops/ was not built: {made.tree.unbuilt}")
    return made


@cache
def _complete() -> Path:
    """A copy of `gitops/` with every application switched on, beside the charts; it lasts as long as this process."""
    directory = Path(tempfile.mkdtemp(prefix="homelab-gitops-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    shutil.copytree(GITOPS, directory / "gitops")
    (directory / "charts").symlink_to(ROOT / "charts")
    switch_on(directory)
    return directory


def of_platform(made: Platform) -> list[ChartRelease]:
    """The HelmReleases of a model.

    Raises:
        ValueError: a Kustomization does not build, or a release has values or a version that nobody knows.
    """
    for one in made.tree.kustomizations if made.tree is not None else ():
        if one.error:
            raise ValueError(f"Kustomization {one.id}: {one.error}")
    found = []
    kubernetes = str(made.settings["versions"]["kubernetes"])
    for release in made.releases:
        if release.manager.system != "flux":
            continue
        if release.unknown_values:
            raise ValueError(f"{release.where}: {release}: {release.unknown_values}")
        if not release.own and not release.version:
            raise ValueError(f"{release.where}: {release}: {release.chart} has no version: name one exact version")
        pin = None if release.own else ChartPin(release.chart, release.version, release.repository)
        path = made.root / "charts" / release.chart if release.own else None
        found.append(
            ChartRelease(release.name, release.namespace, release.values, pin, path, kubernetes, release.where)
        )
    return found
