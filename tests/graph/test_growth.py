"""How the program's own work grows with the number of nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from checks.program import recorded
from lab.bench import grown

SMALL, LARGE = 10, 40


def test_waiting_grows_with_the_nodes_and_not_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    waited_for = 0
    wait = asyncio.wait

    async def counting(tasks: Collection[Any], **options: Any) -> Any:
        nonlocal waited_for
        waited_for += len(tasks)
        return await wait(tasks, **options)

    def outputs(size: int) -> int:
        nonlocal waited_for
        waited_for = 0
        recorded("lab", change=lambda settings: grown(settings, size))
        return waited_for

    monkeypatch.setattr(asyncio, "wait", counting)
    assert outputs(LARGE) <= 1.2 * LARGE / SMALL * outputs(SMALL)


def test_edges_grow_with_the_nodes_and_not_with_their_square() -> None:
    def edges(size: int) -> int:
        graph = recorded("lab", change=lambda settings: grown(settings, size))
        return sum(len(node.dependencies) for node in graph.nodes.values())

    assert edges(LARGE) <= 1.2 * LARGE / SMALL * edges(SMALL)
