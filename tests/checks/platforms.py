"""Platforms to check: the real program of the stack prod, with a small tree of Flux behind it, and edits of both."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from checks.graph import Graph
from checks.model import records
from checks.model.building import Sources, build, site_of
from checks.model.objects import Manager, Object
from checks.model.platform import Platform
from checks.model.records import Made, Record
from checks.program import ROOT, recorded_with_settings
from checks.rules.all import RULES
from checks.rules.rule import Finding
from checks.waivers import FILE, UNUSED, Waivers
from lab import programs

TREE = Path(__file__).parent / "tree"

Edit = Callable[[Path], None]
Change = Callable[[Platform], None]

_ROOTS: list[dict[str, Any]] = [
    {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "platform", "namespace": "flux-system"},
        "spec": {
            "interval": "10m",
            "path": "./gitops/cluster",
            "prune": True,
            "sourceRef": {"kind": "GitRepository", "name": "platform"},
        },
    },
    {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "platform", "namespace": "flux-system"},
        "spec": {"interval": "1m", "url": "https://git.example.org/platform"},
    },
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cluster-settings", "namespace": "flux-system"},
        "data": {"domain": "test-cluster.agentydragon.com"},
    },
]


@cache
def prod() -> tuple[Graph, dict[str, Any]]:
    """The recorded program of prod, and its settings."""
    return recorded_with_settings("prod")


@cache
def tools() -> dict[str, Path]:
    """The programs that the checks need."""
    return {name: found.path for name, found in programs.ensure(programs.CHECKS).items()}


def platform(
    directory: Path, *, edit: Edit | None = None, change: Change | None = None, plans: tuple[Path, ...] = ()
) -> Platform:
    """The platform of prod with the tree, after an edit of files in `directory` and a change of what is declared."""
    root = directory / "checkout"
    if not root.exists():
        shutil.copytree(ROOT / "charts", root / "charts")
        shutil.copytree(TREE / "gitops", root / "gitops")
        shutil.copytree(TREE / "records", root / "records")
        checked = yaml.safe_load((root / "charts/checked.yaml").read_text())
        checked["forge"] = {"version": "4.5.6", "keys": ["existingSecret", "strategy.*", "size"]}
        checked["sample-operator"] = {"version": "1.2.3", "keys": ["replicas"]}
        (root / "charts/checked.yaml").write_text(yaml.safe_dump(checked))
    of_tests = _of_tests(root)
    if edit is not None:
        edit(root)
        of_tests = _of_tests(root)
    known = records.read(root / "charts/records") | of_tests
    graph, settings = prod()
    settings = copy.deepcopy(settings)

    def declare(made: Platform) -> None:
        made.objects = [copy.copy(thing) for thing in made.objects if not _handed_over(thing)]
        for thing in made.objects:
            thing.content = copy.deepcopy(thing.content)
        made.releases = [copy.deepcopy(release) for release in made.releases]
        for content in copy.deepcopy(_ROOTS):
            urn = f"urn:root::{content['kind']}"
            made.objects.append(Object(content, Manager("pulumi", urn), "stacks/gitops.py:1", urn))
            made.order.labels[urn] = f"{content['kind']} (Pulumi)"
        flux = [thing.step for thing in made.objects if thing.kind == "FluxInstance"]
        for step in [*flux, *(release.step for release in made.releases)]:
            for content in _ROOTS:
                made.order.add(f"urn:root::{content['kind']}", step, "depends_on")
        if change is not None:
            change(made)

    sources = Sources(root, tools()["helm"], tools()["manifests"], plans)
    return build("prod", graph, settings, known, sources, change=declare)


def _handed_over(thing: Object) -> bool:
    """Whether the tree of the tests has this in place of the program's own."""
    replaced = [(root["kind"], root["metadata"]["name"]) for root in _ROOTS]
    return thing.kind in ("Kustomization", "GitRepository") or (thing.kind, thing.name) in replaced


def _of_tests(root: Path) -> dict[str, Record]:
    """The records of the tree's charts, for the values that the tree has before it is edited."""
    found = records.read(root / "records")
    for name, record in found.items():
        [file] = [one for one in (TREE / "gitops").rglob("release.yaml") if f"chart: {name}" in one.read_text()]
        values = next(one for one in yaml.safe_load_all(file.read_text()) if one["kind"] == "HelmRelease")["spec"][
            "values"
        ]
        digest = records.split(values, site_of(prod()[1]))[0]
        record.made = [Made(digest, {}, made.objects) for made in record.made]
    return found


def findings(made: Platform) -> list[Finding]:
    """What all rules find and nobody has accepted."""
    found = [one for rule in RULES.values() for one in rule.findings(made)]
    return [one for one in Waivers.read(FILE).applied(found) if one.rule != UNUSED]


def edited(file: str, *pairs: tuple[str, str]) -> Edit:
    """An edit that replaces texts in a file; each must be there."""

    def edit(root: Path) -> None:
        text = (root / file).read_text()
        for before, after in pairs:
            assert before in text, f"{file} has no {before!r}"
            text = text.replace(before, after)
        (root / file).write_text(text)

    return edit


def appended(file: str, text: str) -> Edit:
    """An edit that adds a document to a file."""

    def edit(root: Path) -> None:
        (root / file).write_text((root / file).read_text() + "---\n" + text)

    return edit


def moved(source: str, target: str) -> Edit:
    """An edit that moves a file from one Kustomization into another one."""

    def edit(root: Path) -> None:
        old, new = root / source, root / target
        new.write_text(old.read_text())
        old.unlink()
        for file, before, after in (
            (old, f"  - {old.name}\n", ""),
            (new, "resources:\n", f"resources:\n  - {new.name}\n"),
        ):
            kustomization = file.parent / "kustomization.yaml"
            kustomization.write_text(kustomization.read_text().replace(before, after))

    return edit


def recorded(chart: str, before: str, after: str) -> Edit:
    """An edit of what a chart makes, as another value of it would have it."""

    def edit(root: Path) -> None:
        file = root / "records" / f"{chart}.json"
        text = json.dumps(json.loads(file.read_text()))
        assert before in text, f"{chart} makes no {before}"
        file.write_text(text.replace(before, after))

    return edit


def several(*edits: Edit) -> Edit:
    """Several edits, one after the other."""

    def edit(root: Path) -> None:
        for one in edits:
            one(root)

    return edit


def written(file: str, source: str, part: int = 0) -> Edit:
    """An edit that writes a document of one file into another one."""
    return lambda root: _write(root / file, (root / source).read_text().split("---\n")[part])


def cut(file: str, part: int) -> Edit:
    """An edit that takes a document out of a file."""

    def edit(root: Path) -> None:
        parts = (root / file).read_text().split("---\n")
        _write(root / file, "---\n".join(parts[:part] + parts[part + 1 :]))

    return edit


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def object_of(made: Platform, kind: str, name: str) -> Object:
    """The one declared object of a kind and a name."""
    [found] = [thing for thing in made.objects if thing.kind == kind and thing.name == name]
    return found


def release_of(made: Platform, name: str) -> Any:
    """The one release of a name."""
    [found] = [release for release in made.releases if release.name == name]
    return found


def real(directory: Path, edit: Edit | None = None, change: Change | None = None) -> Platform:
    """The platform of prod with the repository's own tree and records.

    edit: changes files in `directory`. change: changes what the program declares.
    """
    root = directory / "checkout"
    for name in ("charts", "gitops"):
        shutil.copytree(ROOT / name, root / name)
    if edit is not None:
        edit(root)
    graph, settings = prod()

    def declare(made: Platform) -> None:
        made.objects = [copy.copy(thing) for thing in made.objects]
        for thing in made.objects:
            thing.content = copy.deepcopy(thing.content)
        made.releases = [copy.deepcopy(release) for release in made.releases]
        if change is not None:
            change(made)

    sources = Sources(root, tools()["helm"], tools()["manifests"])
    known = records.read(root / "charts/records")
    return build("prod", graph, copy.deepcopy(settings), known, sources, change=declare)
