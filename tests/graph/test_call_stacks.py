"""What the engine is told, and keeps, of the calls that led to a resource."""

from __future__ import annotations

import sys
from functools import cache

import pytest

from checks.graph import Graph
from checks.program import ROOT, recorded
from stacks.call_stacks import DEPTH, of_the_program

MAIN = (ROOT / "__main__.py").as_uri()
STACK = "pulumi:pulumi:Stack"


@cache
def _graph(stack: str) -> Graph:
    return recorded(stack)


@pytest.mark.parametrize("stack", ["lab", "prod"])
def test_the_calls_of_a_resource_begin_in_the_program(stack: str) -> None:
    cut = [
        node.urn
        for node in _graph(stack).nodes.values()
        if node.type != STACK and MAIN not in {frame.pc.uri for frame in node.request.stackTrace.frames}
    ]
    assert cut == [], "deeper calls than stacks/call_stacks.py has the SDK read"


def test_the_position_of_a_resource_is_the_line_that_makes_it() -> None:
    [namespace] = [node for node in _graph("lab").nodes.values() if node.name == "metallb-namespace"]
    assert namespace.request.sourcePosition.uri == (ROOT / "components/kit/namespace.py").as_uri()


def test_no_more_calls_are_told_than_the_program_has() -> None:
    told = {len(node.request.stackTrace.frames) for node in _graph("lab").nodes.values() if node.type != STACK}
    assert max(told) < DEPTH


def test_the_traceback_of_an_error_is_whole_again() -> None:
    with pytest.raises(LookupError), of_the_program():
        raise LookupError
    assert not hasattr(sys, "tracebacklimit")
