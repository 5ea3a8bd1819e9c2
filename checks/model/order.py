"""The order in which things come to exist: events, what each waits for, loops, and what lies before what.

An event is a string: a resource's URN, "start Kustomization x" or "ready HelmRelease y". An edge says that one event
cannot happen before another, whatever makes it so: a declared dependency, or a Secret that a pod must have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Edge:
    """`after` cannot happen before `before`; `why` says what makes it so, in words for a person."""

    after: str
    before: str
    why: str
    declared: bool = True
    """Whether something makes the later wait; an undeclared edge only says that it would fail or hang."""


@dataclass
class Order:
    """All edges, and questions about them. Complete before the first question."""

    edges: list[Edge] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    """What a person calls an event."""

    def add(self, after: str, before: str, why: str, *, declared: bool = True) -> None:
        """Add an edge, unless it leads from an event to itself."""
        if after != before:
            self.edges.append(Edge(after, before, why, declared))

    def label(self, event: str) -> str:
        """What a person calls an event."""
        return self.labels.get(event, event)

    @cached_property
    def _declared(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            if edge.declared:
                found[edge.after].append(edge.before)
        return found

    @cached_property
    def _before(self) -> dict[str, frozenset[str]]:
        return {}

    def before(self, event: str) -> frozenset[str]:
        """Every event that the declared edges put before this one."""
        if event not in self._before:
            seen: set[str] = set()
            todo = [event]
            while todo:
                for earlier in self._declared.get(todo.pop(), ()):
                    if earlier not in seen:
                        seen.add(earlier)
                        todo.append(earlier)
            self._before[event] = frozenset(seen)
        return self._before[event]

    def follows(self, event: str, earlier: str) -> bool:
        """Whether declared edges put `earlier` before `event`, or both are the same."""
        return event == earlier or earlier in self.before(event)

    def loops(self) -> list[list[Edge]]:
        """One loop of edges for each set of events that wait for each other, declared or not."""
        return [self._loop(component) for component in components(self.edges)]

    def _loop(self, component: frozenset[str]) -> list[Edge]:
        """A shortest loop through the component, through an undeclared edge if there is one."""
        inside = [edge for edge in self.edges if edge.after in component and edge.before in component]
        start = min(inside, key=lambda edge: (edge.declared, edge.after, edge.before))
        came: dict[str, Edge] = {}
        todo = [start.before]
        while todo and start.after not in came:
            following: list[str] = []
            for edge in (edge for event in todo for edge in inside if edge.after == event):
                if edge.before not in came and edge.before != start.before:
                    came[edge.before] = edge
                    following.append(edge.before)
            todo = following
        path: list[Edge] = []
        event = start.after
        while event != start.before:
            path.insert(0, came[event])
            event = came[event].after
        return [start, *path]


def components(edges: Iterable[Edge]) -> list[frozenset[str]]:
    """The sets of several events that all wait for each other (Tarjan, without recursion)."""
    following: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        following[edge.after].append(edge.before)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[frozenset[str]] = []
    for root in list(following):
        if root in index:
            continue
        work = [(root, iter(following[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            event, rest = work[-1]
            for other in rest:
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(following.get(other, ()))))
                    break
                if other in on_stack:
                    low[event] = min(low[event], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[event])
                if low[event] == index[event]:
                    members = set()
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        members.add(member)
                        if member == event:
                            break
                    if len(members) > 1:
                        found.append(frozenset(members))
    return found
