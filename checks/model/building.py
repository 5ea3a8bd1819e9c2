"""Puts the model of one stack together: what its program declares, Flux applies, and charts and operators make.

Owns the order in which that is done, and where it is read from. Does not own the result's form: see `platform.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.graph import Graph
from checks.model import charts, flux, operators, outside, program, release_values, terraform
from checks.model.machines import brought_by_kubernetes, machines_of, talos_of
from checks.model.machines import objects_of as brought_by_talos
from checks.model.objects import Identity, Object, mapping
from checks.model.platform import ROOT, Platform
from checks.model.records import Record, Site


@dataclass(frozen=True)
class Sources:
    """Where a platform is read from."""

    root: Path = ROOT
    helm: Path | None = None
    manifests: Path | None = None
    """The program that builds a tree of Flux, see lab/manifests."""
    plans: tuple[Path, ...] = ()
    """Terraform plans, as `terraform show -json` prints them."""

    @classmethod
    def found(cls, root: Path = ROOT, plans: Iterable[Path] = ()) -> Sources:
        """With the tools that are on PATH."""
        helm, manifests = shutil.which("helm"), shutil.which("manifests")
        return cls(root, Path(helm) if helm else None, Path(manifests) if manifests else None, tuple(plans))


def build(
    stack: str,
    graph: Graph,
    settings: dict[str, Any],
    records: Mapping[str, Record],
    sources: Sources,
    *,
    change: Callable[[Platform], None] | None = None,
) -> Platform:
    """Put the model together.

    change: edits what the program declares before anything is derived from it.
    """
    platform = Platform(stack, graph, settings, sources.root, records, manifests=sources.manifests)
    platform.objects = program.objects_of(graph)
    platform.releases = program.releases_of(graph)
    program.order_of(graph, platform.order)
    platform.machines, platform.talos = machines_of(graph), talos_of(graph)
    platform.objects += brought_by_kubernetes() + brought_by_talos(platform.talos)
    if change is not None:
        change(platform)
    platform.outside = outside.read()
    platform.objects += [one.thing for one in platform.outside]
    platform.tree = flux.tree_of(platform.objects, sources.root, sources.manifests)
    if platform.tree is not None:
        platform.objects += platform.tree.objects
        platform.releases += flux.releases_of(platform.tree, _holders(platform.objects))
    for plan in sources.plans:
        platform.planned += terraform.planned(plan)
    kubernetes = str(mapping(settings.get("versions")).get("kubernetes") or "")
    made, platform.chart_problems = charts.made_by(
        platform.releases,
        records,
        site_of(settings),
        charts=sources.root / "charts",
        helm=sources.helm,
        kubernetes=kubernetes,
    )
    platform.objects += made
    declared: dict[Identity, Object] = {thing.identity: thing for thing in platform.objects}

    def find(group: str, kind: str, namespace: str, name: str) -> Object | None:
        return declared.get(Identity(group, kind, namespace, name))

    platform.objects += operators.made_of(platform.objects, find)
    if platform.tree is not None:
        flux.order_of(platform.tree, platform.releases, platform.objects, platform.order)
    return platform


def _holders(objects: Iterable[Object]) -> release_values.Find:
    """Where values of releases are looked for: declared ConfigMaps and Secrets, and what operators make of others."""
    holders = ("ConfigMap", "Secret", "ExternalSecret", "SealedSecret")
    everything = {thing.identity: thing for thing in objects}
    declared = [thing for thing in everything.values() if thing.kind in holders]

    def find(group: str, kind: str, namespace: str, name: str) -> Object | None:
        return everything.get(Identity(group, kind, namespace, name))

    known = {thing.identity: thing for thing in (*operators.made_of(declared, find), *declared)}
    return lambda kind, namespace, name: known.get(Identity("", kind, namespace, name))


def site_of(settings: Mapping[str, Any]) -> Site:
    """The words of a stack's settings that are in charts' values."""
    cluster, edge = mapping(settings.get("cluster")), mapping(settings.get("edge"))
    secondary = mapping(edge.get("secondary")).get("name")
    nameserver = mapping(settings.get("dns")).get("nameserver")
    domains = [str(word) for word in (cluster.get("domain"), secondary, nameserver) if word]
    return Site(domains, str(cluster.get("name", "")))
