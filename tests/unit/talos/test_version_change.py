"""Which nodes get the wanted Talos before their control planes get another Kubernetes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from components.talos import version_change
from components.talos.version_change import VersionChange

RUNNING = {"10.0.1.1": "v1.13.2", "10.0.1.2": "v1.13.1", "10.0.2.1": "v1.13.1"}


class Node:
    """A node that says which Talos it runs."""

    def __init__(self, address: str, _credentials: object) -> None:
        self._address = address

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def version(self) -> str:
        return RUNNING[self._address]


def taken(monkeypatch: pytest.MonkeyPatch, *, pending: bool) -> list[str]:
    """What happens to the nodes, in this order, where Kubernetes is to change or not."""
    monkeypatch.setattr(version_change, "TalosNode", Node)
    happened: list[str] = []

    async def credentials() -> Any:
        return object()

    async def is_pending() -> bool:
        return pending

    async def upgrade(name: str) -> None:
        happened.append(name)

    async def control_planes(wanted: str) -> None:
        happened.append(wanted)

    members, workers = {"cp-0": "10.0.1.1", "cp-1": "10.0.1.2"}, {"worker-0": "10.0.2.1"}
    change = VersionChange(
        controlplanes=members,
        workers=workers,
        credentials=credentials,
        talos="v1.13.2",
        kubernetes="v1.36.3",
        node_timeout=1,
        api_timeout=1,
    )
    steps: Any = SimpleNamespace(
        controlplanes=members, workers=workers, is_pending=is_pending, control_planes=control_planes
    )
    change._found.append(steps)
    asyncio.run(change.control_planes("its configuration", upgrade))
    return happened


def test_a_node_of_another_talos_is_upgraded_before_kubernetes_changes_and_one_of_the_wanted_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert taken(monkeypatch, pending=True) == ["cp-1", "worker-0", "its configuration"]


def test_no_node_is_upgraded_out_of_its_turn_where_kubernetes_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert taken(monkeypatch, pending=False) == ["its configuration"]
