"""The recorded graph and queries on it. Knows nothing about how it was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pulumi import ErrorHook, ResourceHook
from pulumi.runtime.proto.source_pb2 import StackTrace

HOOK_EVENTS = (
    "before_create",
    "after_create",
    "before_update",
    "after_update",
    "before_delete",
    "after_delete",
    "on_error",
)

SHARED = "/components/kit/"
"""Part of the path of what components have in common, such as the form of a Helm release."""

NO_TRACE = StackTrace()


@dataclass
class Node:
    """One registered or read resource. `request` is the raw message: it shows secrets in clear, so never print it."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    request: Any = field(repr=False)
    outputs: dict[str, Any] = field(default_factory=dict)
    """What a component or the stack passed to `register_outputs`."""
    registered_outputs: bool = False
    """Whether `register_outputs` was called at all."""

    def __hash__(self) -> int:
        return hash(self.urn)

    def __repr__(self) -> str:
        return f"<{self.type} {self.name}>"

    @property
    def parent(self) -> str:
        """URN of the parent; empty for the stack itself."""
        return str(self.request.parent)

    @property
    def custom(self) -> bool:
        """Whether a provider plugin owns it; false for components."""
        return bool(getattr(self.request, "custom", True))

    @property
    def provider(self) -> str:
        """URN of the explicit provider; empty where the engine would take the default one."""
        return str(self.request.provider).rpartition("::")[0]

    @property
    def is_provider(self) -> bool:
        """Whether this resource is itself a provider."""
        return self.type.startswith("pulumi:providers:")

    @property
    def dependencies(self) -> list[str]:
        """URNs of explicit and property dependencies together: the edges that the engine stores."""
        return sorted(self.request.dependencies)

    @property
    def property_dependencies(self) -> dict[str, list[str]]:
        """Input property (camelCase) to the URNs that its value came from."""
        found = getattr(self.request, "propertyDependencies", {})
        return {key: sorted(found[key].urns) for key in sorted(found)}

    @property
    def explicit_dependencies(self) -> list[str]:
        """URNs named by `depends_on` only. The wire merges both kinds: one that a property also uses is not in here."""
        by_property = {urn for urns in self.property_dependencies.values() for urn in urns}
        return sorted(set(self.request.dependencies) - by_property)

    @property
    def hooks(self) -> dict[str, list[str]]:
        """Event (`before_create`, ...) to the names of the hooks bound to it; events without hooks are left out."""
        bound = getattr(self.request, "hooks", None)
        return {event: list(names) for event in HOOK_EVENTS if (names := getattr(bound, event, None))}

    @property
    def source(self) -> str:
        """`file:line` of the program that made the resource; empty where the SDK does not say.

        For what a function of `SHARED` made, the line that called it: the other is the same for every caller.
        """
        trace = [frame.pc for frame in getattr(self.request, "stackTrace", NO_TRACE).frames if frame.pc.uri]
        callers = [position for position in trace if SHARED not in position.uri]
        position = callers[0] if callers else self.request.sourcePosition
        return f"{position.uri.removeprefix('file://')}:{position.line}" if position.uri else ""

    def option(self, name: str) -> Any:
        """Return a raw field of the request (`protect`, `deletedWith`, `replaceOnChanges`, `customTimeouts`, ...)."""
        return getattr(self.request, name)


@dataclass
class Invoke:
    """One provider function that was called with known arguments."""

    token: str
    args: dict[str, Any]
    provider: str


@dataclass
class Graph:
    """All that one run of a program registered.

    Each method that takes a resource takes a URN, a name, or `"<type> <name>"` where a name is used twice; it raises
    KeyError when that fits no resource, or several.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    """Resources by URN, in order of registration."""
    invokes: list[Invoke] = field(default_factory=list)
    invokes_skipped: list[str] = field(default_factory=list)
    """Functions that were called but never sent, as an argument was unknown: what uses their result has lost its
    dependencies (in a real preview too). Fake what they need until this is empty."""
    unsupported: list[str] = field(default_factory=list)
    """What makes this graph differ from the engine's. A check must fail when it is not empty."""
    unused_fakes: list[str] = field(default_factory=list)
    """Keys of fakes that no resource and no invoke asked for: most likely misspelt or out of date."""
    log: list[str] = field(default_factory=list)
    """Messages that the program logged, debug aside."""
    named_hooks: dict[str, ResourceHook | ErrorHook] = field(default_factory=dict, repr=False)
    error: BaseException | None = None
    """What ended the program early, when `record` was told not to raise it."""

    def __getitem__(self, key: str) -> Node:
        if key in self.nodes:
            return self.nodes[key]
        found = [node for node in self.nodes.values() if key in (node.name, f"{node.type} {node.name}")]
        if len(found) != 1:
            raise KeyError(f"{key!r} names {len(found)} resources {found}; give the URN or '<type> <name>'")
        return found[0]

    def __contains__(self, key: str) -> bool:
        return key in self.nodes or any(key in (n.name, f"{n.type} {n.name}") for n in self.nodes.values())

    @property
    def stack(self) -> Node:
        """The stack itself; its outputs are what the program exported."""
        return self.of_type("pulumi:pulumi:Stack")[0]

    @property
    def hooks(self) -> dict[str, dict[str, list[str]]]:
        """URN to `Node.hooks`, of each resource that has a hook."""
        return {node.urn: node.hooks for node in self.nodes.values() if node.hooks}

    def hook(self, name: str) -> ResourceHook | ErrorHook:
        """Return a registered hook, to be called with `ResourceHookArgs` (a recording never runs it)."""
        if name not in self.named_hooks:
            raise KeyError(f"no hook named {name!r} was registered; there are {sorted(self.named_hooks)}")
        return self.named_hooks[name]

    def of_type(self, type_: str) -> list[Node]:
        """Return the resources with this type token, sorted by URN."""
        return _sorted(node for node in self.nodes.values() if node.type == type_)

    def resources(self, *, custom: bool | None = True) -> list[Node]:
        """Return custom resources, or (False) components and the stack, or (None) both; sorted by URN."""
        return _sorted(node for node in self.nodes.values() if custom is None or node.custom is custom)

    def components(self) -> list[Node]:
        """Return the components, the stack aside, sorted by URN."""
        return [node for node in self.resources(custom=False) if node.type != "pulumi:pulumi:Stack"]

    def children(self, key: str) -> list[Node]:
        """Return the resources whose parent is this one, sorted by URN."""
        urn = self[key].urn
        return _sorted(node for node in self.nodes.values() if node.parent == urn)

    def leaves(self, key: str | Node) -> set[str]:
        """Return what a dependency on this resource stands for: itself, or all custom resources below a component."""
        node = key if isinstance(key, Node) else self[key]
        if node.custom or node.option("remote"):
            return {node.urn}
        return {urn for child in self.children(node.urn) for urn in self.leaves(child)}

    def edges(self, key: str, via: str | None = None) -> set[str]:
        """Return direct edges: of the property `via`, the `"explicit"` ones, or (None) all with provider and parent."""
        node = self[key]
        if via == "explicit":
            return set(node.explicit_dependencies)
        if via is not None:
            return set(node.property_dependencies.get(via, []))
        return {urn for urn in (*node.dependencies, node.provider, node.parent) if urn}

    def reach(self, key: str) -> set[str]:
        """Return the URNs of all that is created before this resource, over any number of edges."""
        seen: set[str] = set()
        todo = [self[key].urn]
        while todo:
            new = self.edges(todo.pop()) - seen
            seen |= new
            todo += [urn for urn in new if urn in self.nodes]
        return seen

    def missing(self, a: str, b: str, via: str | None = None, *, transitive: bool = False) -> set[str]:
        """Return the resources of `b` that `a` does not depend on.

        A component without resources orders nothing, so it is itself missing. Without `transitive` only the edges of
        `a` itself count; with it, those of everything that it waits for too, its parent and provider included.
        """
        if transitive and via is not None:
            raise ValueError(
                f"via={via!r} asks for direct edges and transitive=True for all of them: give one of the two"
            )
        have = self.reach(a) if transitive else self.edges(a, via)
        return (self.leaves(b) or {self[b].urn}) - have

    def depends(self, a: str, b: str, via: str | None = None, *, transitive: bool = False) -> bool:
        """Say whether `a` depends on all of `b`, see `missing`."""
        return not self.missing(a, b, via, transitive=transitive)

    def chain(self, names: Sequence[str]) -> list[str]:
        """Return a sentence for each pair of neighbours that is out of order; `names` go from first to last created."""
        return [
            f"{later} does not wait for {sorted(absent)}"
            for earlier, later in pairwise(names)
            if (absent := self.missing(later, earlier, transitive=True))
        ]


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    return sorted(nodes, key=lambda node: node.urn)
