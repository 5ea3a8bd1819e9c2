"""How the program's own work grows with the number of nodes."""

from __future__ import annotations

from checks.program import recorded
from lab.bench import grown

SMALL, LARGE = 10, 40


def test_a_stack_has_the_same_outputs_whatever_its_nodes() -> None:
    # Each of them is waited for in rounds with all the others (`stacks/outputs.py`): one for each node would make the
    # time of an `up` grow with their square.
    def outputs(size: int) -> set[str]:
        return set(recorded("lab", change=lambda settings: grown(settings, size)).stack.outputs)

    few = outputs(SMALL)
    assert few
    assert outputs(LARGE) == few


def test_edges_grow_with_the_nodes_and_not_with_their_square() -> None:
    def edges(size: int) -> int:
        graph = recorded("lab", change=lambda settings: grown(settings, size))
        return sum(len(node.dependencies) for node in graph.nodes.values())

    small = edges(SMALL)
    assert small > 0
    assert edges(LARGE) <= 1.2 * LARGE / SMALL * small
