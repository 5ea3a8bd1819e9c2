"""Patches change something, and what they add is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@rule(
    "patch-target",
    title="A patch has something to change",
    why="Kustomize passes over a patch whose target does not exist, without a word.",
    remedy="Give the kind and the name of an object that is there.",
)
def targets(platform: Platform) -> Iterator[Finding]:
    """Patches of folders and of HelmReleases whose target nothing makes."""
    for one in platform.tree.kustomizations if platform.tree else ():
        folder = platform.root / one.path
        for file in (folder / name for name in _FILES if (folder / name).is_file() and not one.error):
            content = mapping(yaml.safe_load(file.read_text()))
            for number, patch in enumerate(items(content.get("patches"))):
                if "delete" not in str(patch.get("patch")) and (problem := _missing(patch, one.objects)):
                    shown = _shown(file, platform.root)
                    yield finding(shown, f"patches[{number}].target", problem, f"{shown}:1")
    for release in platform.releases:
        made = [thing for thing in platform.objects if thing.release is release]
        if not release.made or release.manager.system != "flux":
            continue
        for place, patch in _of_release(release.content):
            if problem := _missing(patch, made):
                yield finding(release, f"{place}.target", problem, release.where)
            yield from _containers(release, place, patch, made)


def _of_release(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, renderer in enumerate(items(mapping(content.get("spec")).get("postRenderers"))):
        for place, patch in enumerate(items(mapping(renderer.get("kustomize")).get("patches"))):
            yield f"spec.postRenderers[{number}].kustomize.patches[{place}]", patch


def _missing(patch: dict[str, Any], among: list[Object]) -> str:
    """What is wrong with a patch's target; empty where nothing is, or where it goes by labels."""
    target = mapping(patch.get("target"))
    kind, name = str(target.get("kind") or ""), str(target.get("name") or "")
    if not name or target.get("labelSelector") or target.get("annotationSelector"):
        return ""
    known = [thing.name for thing in among if kind in ("", thing.kind)]
    if any(re.fullmatch(name, one) for one in known):
        return ""
    return f"is {kind or 'anything'} {name}, which nothing here makes: {there(known, name)}"


def _containers(release: object, place: str, patch: dict[str, Any], made: list[Object]) -> Iterator[Finding]:
    """Containers that a patch would add without an image, because it misspells their name."""
    content = yaml.safe_load(str(patch.get("patch") or "{}"))
    if not isinstance(content, dict):
        return
    target = mapping(patch.get("target"))
    pod = mapping(mapping(mapping(content.get("spec")).get("template")).get("spec"))
    for thing in made:
        if (thing.kind, thing.name) != (target.get("kind"), target.get("name")):
            continue
        own = mapping(mapping(thing.spec.get("template")).get("spec"))
        for field in ("initContainers", "containers"):
            known = [str(one.get("name")) for one in items(own.get(field))]
            for number, container in enumerate(items(pod.get(field))):
                name = str(container.get("name"))
                if name not in known and not container.get("image"):
                    problem = f"is {name}, and {thing} has no such: {there(known, name)}"
                    at = f"{place}: spec.template.spec.{field}[{number}].name"
                    yield finding(release, at, problem, str(getattr(release, "where", "")))


def _shown(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
