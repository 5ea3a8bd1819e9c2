"""The fast rules, on a program that runs: they stop it before the engine is asked for anything.

The program's layers only make resource objects; their registrations are tasks that begin once its last line has run,
even if that line raises an error (run_pulumi_func in the SDK waits for all of them). So what stands between the
layers and that line sees every resource that is not made in an `apply`, and can take the tasks back: then the engine
gets nothing but the stack itself. What Outputs hold is not known yet, and no rule looks at it.

Owns no rule: those in `checks/rules/` that are marked as fast run here. It adds a tenth of a second to a preview.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi import Output, RunError, runtime
from pulumi._types import input_type_to_dict, is_input_type
from pulumi.runtime.proto import resource_pb2

from checks.graph.graph import SHARED, Graph, Node
from checks.graph.run import RECORDING
from checks.graph.wire import UNKNOWN
from checks.model import program
from checks.model.machines import machines_of
from checks.model.platform import ROOT, Platform
from checks.rules.fast import RULES
from checks.rules.rule import Finding
from checks.waivers import FILE, Waivers

_COMPONENTS = f"{ROOT}/components/"


class Seen:
    """The resources that a program made, as a graph."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._earlier = asyncio.all_tasks()
        self._urns: dict[int, str] = {}

    def __call__(self, args: pulumi.ResourceTransformationArgs) -> None:
        """Note a resource; it stays as it is."""
        parent = args.opts.parent
        above = self._urns.get(id(parent), "") if parent is not None else ""
        kind = args.type_
        qualifier = f"{above.split('::')[2]}$" if above else ""
        urn = f"urn:pulumi:{pulumi.get_stack()}::{pulumi.get_project()}::{qualifier}{kind}::{args.name}"
        self._urns[id(args.resource)] = urn
        request = resource_pb2.RegisterResourceRequest(
            type=kind, name=args.name, parent=above, custom=isinstance(args.resource, pulumi.CustomResource)
        )
        depends = args.opts.depends_on
        for one in depends if isinstance(depends, list) else []:
            if isinstance(one, pulumi.Resource) and id(one) in self._urns:
                request.dependencies.append(self._urns[id(one)])
        where = _caller()
        request.sourcePosition.uri, _, line = where.rpartition(":")
        request.sourcePosition.line = int(line or 0)
        self.graph.nodes[urn] = Node(urn, kind, args.name, _inputs(args.props), request)

    def take_back(self) -> None:
        """Cancel what would register the resources. The stack itself is among the earlier tasks, and stays."""
        for task in asyncio.all_tasks() - self._earlier:
            if "rpc_wrapper" in getattr(task.get_coro(), "__qualname__", ""):
                task.cancel()
        # The SDK would wait for the outputs of what is never registered.
        for waiting in runtime.settings.SETTINGS.outputs:
            waiting.cancel()
        runtime.settings.SETTINGS.outputs.clear()


def _caller() -> str:
    """`file:line` of the component that makes a resource."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_COMPONENTS) and SHARED not in file:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return "__main__.py:0"


def _inputs(value: Any) -> Any:
    """Inputs as the engine would get them, as far as they are known."""
    if isinstance(value, Output):
        return UNKNOWN
    if is_input_type(type(value)):
        return _inputs(input_type_to_dict(value))
    if isinstance(value, Mapping):
        return {str(key): _inputs(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_inputs(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else UNKNOWN


def watch() -> Seen | None:
    """Begin to note the resources that the program makes; None while it is recorded, when all rules see all of it."""
    if RECORDING.get():
        return None
    seen = Seen()
    runtime.register_stack_transformation(seen)
    return seen


def refuse(seen: Seen | None, settings: Mapping[str, Any]) -> None:
    """Stop the program if a fast rule finds something.

    settings: the stack's, under the names of its file.

    Raises:
        RunError: with the findings.
    """
    if seen is None:
        return
    found = findings(seen.graph, dict(settings), pulumi.get_stack())
    if found:
        seen.take_back()
        lines = [
            f"  {one.object} · {one.field} {one.problem}\n    {one.where} [{one.rule}]: {one.remedy}" for one in found
        ]
        raise RunError("nothing was created, because it would not work:\n" + "\n".join(lines))


def findings(graph: Graph, settings: dict[str, Any], stack: str) -> list[Finding]:
    """What the fast rules find."""
    platform = Platform(stack, graph, settings)
    made = program.objects_of(graph)
    platform.objects = [thing for thing in made if program.LATER not in (thing.name, thing.namespace)]
    platform.releases = [one for one in program.releases_of(graph) if program.LATER not in (one.name, one.namespace)]
    platform.machines = machines_of(graph)
    program.order_of(graph, platform.order)
    found = [one for rule in RULES.values() if rule.fast for one in rule.findings(platform)]
    waivers = Waivers.read(FILE).waivers
    return [one for one in found if not any(waiver.fits(one) for waiver in waivers)]
