"""Everything that will exist in one stack, and questions about it that several rules ask.

Does not know how it is put together: that is `building.py`, with all that reads charts and trees of Flux. A preview has
no need of those, and would wait for their import.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.graph.graph import Graph
from checks.model.machines import Machine, Talos
from checks.model.needs import needs
from checks.model.objects import Identity, Object, Release, mapping
from checks.model.order import Edge, Order
from checks.model.pods import Pods, pods_of
from checks.model.reference import Need
from checks.model.waiting import Waiting, complete, waiting

if TYPE_CHECKING:
    from checks.model import charts, flux, terraform
    from checks.model.outside import Outside
    from checks.model.records import Record

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Platform:
    """One stack's whole platform."""

    stack: str
    graph: Graph
    settings: dict[str, Any]
    """The stack file's values, without `homelab:`."""
    root: Path = ROOT
    """The repository, for the files that are no program."""
    records: Mapping[str, Record] = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    order: Order = field(default_factory=Order)
    chart_problems: list[charts.ChartProblem] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    talos: Talos = field(default_factory=Talos)
    tree: flux.Tree | None = None
    """What Flux will apply; None where there is no tree of it."""
    planned: list[terraform.Planned] = field(default_factory=list)
    """What a Terraform plan still owns."""
    manifests: Path | None = None
    """The program that holds the API server's own code, see lab/manifests."""
    outside: list[Outside] = field(default_factory=list)
    """What exists although nothing in the model makes it."""

    @cached_property
    def _by_identity(self) -> dict[Identity, list[Object]]:
        found: dict[Identity, list[Object]] = defaultdict(list)
        for thing in self.objects:
            found[thing.identity].append(thing)
        return found

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str], list[Object]]:
        found: dict[tuple[str, str], list[Object]] = defaultdict(list)
        for thing in self.objects:
            found[thing.group, thing.kind].append(thing)
        return found

    @cached_property
    def needs(self) -> list[tuple[Object, Need]]:
        """Every reference of every object."""
        return [(thing, need) for thing in self.objects for need in needs(thing)]

    @cached_property
    def waiting(self) -> list[Waiting]:
        """Every reference that holds up the referrer until the other is made."""
        return list(waiting(self.needs, self.find, self.tree))

    @cached_property
    def loops(self) -> list[list[Edge]]:
        """What waits for itself, through declared dependencies and through what is needed without being declared."""
        return complete(self.order, self.waiting).loops()

    @cached_property
    def pods(self) -> list[Pods]:
        """The pods of every workload that the model knows."""
        return [pods for thing in self.objects if (pods := pods_of(thing)) is not None]

    @cached_property
    def _pods_by_namespace(self) -> dict[str, list[Pods]]:
        found: dict[str, list[Pods]] = defaultdict(list)
        for pods in self.pods:
            found[pods.of.namespace].append(pods)
        return found

    @cached_property
    def definitions(self) -> dict[tuple[str, str], list[Object]]:
        """The CustomResourceDefinitions by group and kind."""
        found: dict[tuple[str, str], list[Object]] = defaultdict(list)
        for thing in self.of_kind("apiextensions.k8s.io", "CustomResourceDefinition"):
            kind = str(mapping(thing.spec.get("names")).get("kind"))
            found[str(thing.spec.get("group")), kind].append(thing)
        return found

    def find(self, group: str, kind: str, namespace: str, name: str) -> list[Object]:
        """The declarations of an object."""
        return self._by_identity.get(Identity(group, kind, namespace, name), [])

    def of_kind(self, group: str, kind: str) -> Iterator[Object]:
        """All objects of a kind."""
        return iter(self._by_kind.get((group, kind), []))

    def pods_in(self, namespace: str) -> list[Pods]:
        """Those of a namespace."""
        return self._pods_by_namespace.get(namespace, [])

    def named(self, group: str, kind: str, namespace: str) -> list[str]:
        """The names of all objects of a kind in a namespace, sorted: what exists where something else was meant."""
        return sorted({thing.name for thing in self.of_kind(group, kind) if thing.namespace == namespace})

    def unknown_in(self, namespace: str) -> list[Release]:
        """The releases in a namespace of which nobody knows what they make."""
        return [release for release in self.releases if not release.made and release.namespace == namespace]

    def blank_in(self, namespace: str) -> list[Release]:
        """Those of them of which not even is known what they make with other values."""
        near = {id(thing.release) for thing in self.objects if thing.release is not None}
        return [release for release in self.unknown_in(namespace) if id(release) not in near]

    def doubled(self, release: Release) -> bool:
        """Whether another release has its name or, with another manager, its chart: a fault of its own."""
        return any(
            one is not release
            and (
                (one.namespace, one.name) == (release.namespace, release.name)
                or (one.chart == release.chart and one.manager != release.manager)
            )
            for one in self.releases
        )

    @property
    def unknown(self) -> list[Release]:
        """All releases of which nobody knows what they make."""
        return [release for release in self.releases if not release.made]
