"""What Flux applies: the tree in Git, built and substituted by the controllers' own code, and its order.

The code is in `lab/manifests`, a program of its own; this module asks it and reads the answer. Which Kustomizations
there are at first is the program's to say: those that it makes are the roots.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.model.flux_tool import ask
from checks.model.objects import Manager, Object, Release, items, mapping
from checks.model.order import Order
from checks.model.release_values import Find, Given, given_to

KUSTOMIZE, HELM = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"


@dataclass(eq=False)
class Kustomization:
    """One Flux Kustomization and what it applies."""

    namespace: str
    name: str
    parent: str
    path: str
    where: str
    content: dict[str, Any]
    objects: list[Object] = field(default_factory=list)
    error: str = ""

    @property
    def id(self) -> str:
        """`<namespace>/<name>`."""
        return f"{self.namespace}/{self.name}"

    @property
    def begins(self) -> str:
        """The event at which its objects are applied."""
        return f"start Kustomization {self.id}"

    @property
    def ready(self) -> str:
        """The event at which those that depend on it go on."""
        return f"ready Kustomization {self.id}"

    @property
    def spec(self) -> dict[str, Any]:
        return mapping(self.content.get("spec"))

    def waits_for(self, thing: Object) -> bool:
        """Whether it is ready only when this object of it is."""
        if self.spec.get("wait"):
            return True
        return any(
            check.get("kind") == thing.kind and check.get("name") == thing.name
            for check in items(self.spec.get("healthChecks"))
        )


@dataclass
class Tree:
    """Everything that Flux applies."""

    directory: Path
    kustomizations: list[Kustomization] = field(default_factory=list)
    unbuilt: str = ""
    """Why nothing of it is known."""

    @property
    def objects(self) -> list[Object]:
        return [thing for one in self.kustomizations for thing in one.objects]

    def of(self, thing: Object) -> Kustomization | None:
        """The Kustomization that applies an object, or the HelmRelease that it comes from."""
        release = thing.release.content if thing.release is not None else None
        return next(
            (
                one
                for one in self.kustomizations
                if any(made is thing or (release and made.content is release) for made in one.objects)
            ),
            None,
        )


def tree_of(objects: Iterable[Object], root: Path, tool: Path | None) -> Tree | None:
    """Build what the program's Kustomizations name; None where it makes none."""
    everything = list(objects)
    roots = [thing for thing in everything if thing.kind == "Kustomization" and thing.group == KUSTOMIZE]
    if not roots:
        return None
    parts = sorted({first for one in roots if (first := _first_part(str(one.spec.get("path", ""))))})
    tree = Tree(root / parts[0] if parts else root)
    if tool is None:
        tree.unbuilt = "the program `manifests` was not found (make check builds it)"
        return tree
    question = {
        "tree": str(root),
        "parts": parts,
        "roots": [one.content for one in roots],
        "variables": _variables(everything),
        "strict": True,
    }
    answer = ask(tool, question)
    where = {(one.namespace, one.name): (one.content, one.where) for one in roots}
    for part in answer["kustomizations"]:
        content, declared = where[part["namespace"], part["name"]]
        one = Kustomization(part["namespace"], part["name"], part["parent"], part["path"], declared, content)
        one.error = part["error"]
        for made in part["objects"]:
            place = line_of(root / made["file"], made["object"], root)
            manager = Manager("flux", f"Kustomization {one.id}")
            one.objects.append(Object(made["object"], manager, place, one.begins))
            metadata = mapping(made["object"].get("metadata"))
            if made["object"].get("kind") == "Kustomization":
                where[str(metadata.get("namespace", "")), str(metadata.get("name"))] = made["object"], place
        tree.kustomizations.append(one)
    return tree


def _first_part(path: str) -> str:
    return next((part for part in path.split("/") if part not in ("", ".")), "")


def _variables(objects: Iterable[Object]) -> dict[str, dict[str, str]]:
    """The data of the program's ConfigMaps and Secrets that variables may come from."""
    found = {}
    for thing in objects:
        if thing.group == "" and thing.kind in ("ConfigMap", "Secret"):
            data = {**mapping(thing.content.get("data")), **mapping(thing.content.get("stringData"))}
            found[f"{thing.kind}/{thing.namespace}/{thing.name}"] = {key: str(value) for key, value in data.items()}
    return found


def line_of(file: Path, content: dict[str, Any], root: Path) -> str:
    """`file:line` of an object in a file of several; the file alone where it is not found."""
    relative = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
    if not file.is_file():
        return relative
    name, kind = str(mapping(content.get("metadata")).get("name")), str(content.get("kind"))
    number = 1
    for part in re.split(r"^---.*$\n?", file.read_text(), flags=re.MULTILINE):
        if re.search(rf"^kind:\s*{re.escape(kind)}\s*$", part, re.MULTILINE) and name in part:
            return f"{relative}:{number}"
        number += part.count("\n") + 1
    return relative


def releases_of(tree: Tree, find: Find) -> list[Release]:
    """The tree's HelmReleases.

    find: the ConfigMaps and Secrets that they may take values from.
    """
    return [
        _release(thing, tree, given_to(thing, find))
        for thing in tree.objects
        if thing.kind == "HelmRelease" and thing.group == HELM
    ]


def _release(thing: Object, tree: Tree, given: Given) -> Release:
    spec = thing.spec
    target = str(spec.get("targetNamespace") or "")
    name = str(spec.get("releaseName") or (f"{target}-{thing.name}" if target else thing.name))
    chart = mapping(mapping(spec.get("chart")).get("spec"))
    named, version = str(chart.get("chart") or ""), str(chart.get("version") or "")
    source = _source(thing, mapping(chart.get("sourceRef")) or mapping(spec.get("chartRef")), tree)
    repository = str(source.spec.get("url") or "").rstrip("/") if source is not None else ""
    if not named and source is not None:
        repository, _, named = repository.rpartition("/")
        version = str(mapping(source.spec.get("ref")).get("tag") or "")
    return Release(
        name,
        target or thing.namespace,
        named.rpartition("/")[2],
        version,
        given.values,
        Manager("flux", f"HelmRelease {thing.namespace}/{thing.name}"),
        thing.where,
        f"ready HelmRelease {thing.namespace}/{thing.name}",
        f"start HelmRelease {thing.namespace}/{thing.name}",
        bool(mapping(spec.get("install")).get("createNamespace")),
        own=mapping(chart.get("sourceRef")).get("kind") == "GitRepository",
        content=thing.content,
        repository=repository,
        layers=given.layers,
        unknown_values=given.unknown,
    )


def _source(release: Object, reference: dict[str, Any], tree: Tree) -> Object | None:
    space = str(reference.get("namespace") or release.namespace)
    wanted = (reference.get("kind"), space, reference.get("name"))
    return next((one for one in tree.objects if (one.kind, one.namespace, one.name) == wanted), None)


def order_of(tree: Tree, releases: Iterable[Release], objects: Iterable[Object], order: Order) -> None:
    """Add what Flux waits for."""
    by_id = {one.id: one for one in tree.kustomizations}
    programs = {f"{one.namespace}/{one.name}": one.step for one in _made_by_program(objects)}
    for one in tree.kustomizations:
        order.labels[one.begins] = order.labels[one.ready] = f"Kustomization {one.id}"
        order.add(one.ready, one.begins, "it is ready after it has begun")
        for other in items(one.spec.get("dependsOn")):
            earlier = by_id.get(f"{other.get('namespace') or one.namespace}/{other.get('name')}")
            if earlier is not None:
                order.add(one.begins, earlier.ready, "spec.dependsOn")
        parent = by_id.get(one.parent)
        if parent is None:
            if one.id in programs:
                order.add(one.begins, programs[one.id], "the program makes it")
            continue
        order.add(one.begins, parent.begins, "it is among the objects of")
        itself = next((thing for thing in parent.objects if thing.content is one.content), None)
        if itself is not None and parent.waits_for(itself):
            order.add(parent.ready, one.ready, "spec.wait: it is ready only when this one is")
    seen: set[str] = set()
    for release in releases:
        # Of one that two Kustomizations apply, the first counts: that there are two is a fault of its own.
        if release.manager.system == "flux" and release.step not in seen:
            seen.add(release.step)
            _order_of_release(release, tree, order)


def _made_by_program(objects: Iterable[Object]) -> list[Object]:
    return [one for one in objects if one.kind == "Kustomization" and one.manager.system == "pulumi"]


def _order_of_release(release: Release, tree: Tree, order: Order) -> None:
    thing = next(one for one in tree.objects if one.content is release.content)
    holder = tree.of(thing)
    order.labels[release.begins] = order.labels[release.step] = f"HelmRelease {thing.namespace}/{thing.name}"
    order.add(release.step, release.begins, "it is ready after it has begun")
    for other in items(thing.spec.get("dependsOn")):
        earlier = f"ready HelmRelease {other.get('namespace') or thing.namespace}/{other.get('name')}"
        order.add(release.begins, earlier, "spec.dependsOn")
    if holder is not None:
        order.add(release.begins, holder.begins, "it is among the objects of")
        if holder.waits_for(thing):
            order.add(holder.ready, release.step, "spec.wait: it is ready only when this one is")
