"""The order in which a node leaves, and what a step that fails keeps from happening."""

from __future__ import annotations

import asyncio

import pytest

from components.talos import node_removal_command
from components.talos.api import EtcdMember, TalosCredentials, TalosError
from components.talos.node_removal_command import NodeRemoval, Plan

PLAN = Plan(node="worker-0", address="192.0.2.9", controlplanes={"controlplane-0": "192.0.2.1"})
VIA = "192.0.2.1"


class Steps(NodeRemoval):
    """A removal whose steps are written down; `fails` names one that does."""

    def __init__(self, fails: str = "") -> None:
        super().__init__(PLAN, TalosCredentials(b"", b"", b""))
        self.taken: list[str] = []
        self._fails = fails

    def _take(self, step: str, *_told: object) -> None:
        self.taken.append(step)
        if step == self._fails:
            raise TalosError(step)

    async def _remaining_control_plane(self) -> str:
        self._take("find a control plane")
        return VIA

    async def _etcd_member_that_may_leave(self, via: str) -> EtcdMember | None:
        self._take("ask etcd", via)
        return None

    async def _drain(self, via: str) -> None:
        self._take("drain", via)

    async def _leave_etcd(self, via: str, runs: bool) -> None:
        self._take("leave etcd", via, runs)

    async def _shut_down(self) -> None:
        self._take("shut down")

    async def _forget(self, via: str) -> None:
        self._take("forget", via)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whether the node answers."""

    async def is_member(*_: object) -> bool:
        return bool(request.param)

    monkeypatch.setattr(node_removal_command, "is_member", is_member)


@pytest.mark.parametrize("answers", [True], indirect=True)
@pytest.mark.usefixtures("answers")
def test_pods_leave_a_node_before_anything_of_it_ends() -> None:
    removal = Steps()
    asyncio.run(removal.run())
    assert removal.taken == ["find a control plane", "ask etcd", "drain", "leave etcd", "shut down", "forget"]


@pytest.mark.parametrize("answers", [True], indirect=True)
@pytest.mark.usefixtures("answers")
def test_a_node_whose_pods_stay_is_neither_taken_from_etcd_nor_shut_down() -> None:
    removal = Steps(fails="drain")
    with pytest.raises(TalosError):
        asyncio.run(removal.run())
    assert removal.taken[-1] == "drain"


@pytest.mark.parametrize("answers", [False], indirect=True)
@pytest.mark.usefixtures("answers")
def test_a_dead_node_has_nothing_to_drain() -> None:
    removal = Steps()
    asyncio.run(removal.run())
    assert removal.taken == ["find a control plane", "ask etcd", "leave etcd", "forget"]
