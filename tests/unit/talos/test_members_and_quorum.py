"""Whose health decides whether a control plane may restart: the members of etcd, as its own members tell.

The hooks themselves run, against nodes that answer as a test says; `tests/lab/test_quorum.py` has simulated ones, and
`test_quorum_checks.py` what is asked of each node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, cast

import pulumi
import pytest

from components.talos import hooks, waiting
from components.talos.api import EtcdMember, TalosError
from components.talos.hooks import Member, TalosChecks
from components.talos.secrets import ClientCredentials

NOTHING = cast("pulumi.Output[str]", "")
ADDRESSES = {f"cp-{number}": f"192.0.2.{number}" for number in range(1, 6)} | {"worker-0": "192.0.2.11"}


@dataclass
class Cluster:
    """A cluster as its nodes tell of it.

    members: the voting etcd members by name. down: those that do not answer. sick: those whose etcd is not healthy.
    seen: what a node says of the members where that differs.
    """

    members: Mapping[str, str]
    down: Collection[str] = ()
    sick: Collection[str] = ()
    seen: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def name(self, address: str) -> str:
        return next(name for name, own in {**ADDRESSES, **self.members}.items() if own == address)

    async def runs(self, address: str, _credentials: object, _service: str) -> bool:
        return self.name(address) not in {*self.down, *self.sick}


class Client:
    """What the checks use of TalosNode."""

    def __init__(self, cluster: Cluster, address: str) -> None:
        self.cluster, self.own = cluster, cluster.name(address)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def etcd_members(self) -> list[EtcdMember]:
        if self.own in self.cluster.down:
            raise TalosError(f"{self.own} does not answer")
        members = self.cluster.seen.get(self.own, self.cluster.members)
        return [EtcdMember(id=0, name=name, address=address) for name, address in members.items()]

    async def services(self) -> dict[str, bool]:
        healthy = await self.cluster.runs(ADDRESSES[self.own], None, "kubelet")
        return {"kubelet": healthy, "etcd": healthy}


class _NoVersions:
    async def may_begin(self) -> None:
        pass


@dataclass(frozen=True)
class Hook:
    """Stands in for pulumi.ResourceHook, which registers itself with an engine."""

    name: str
    callback: Callable[[pulumi.ResourceHookArgs], Any]


def control_planes(number: int) -> dict[str, str]:
    """The first so many control planes, as etcd members."""
    return {f"cp-{each}": ADDRESSES[f"cp-{each}"] for each in range(1, number + 1)}


def changed(cluster: Cluster, name: str, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """The hooks around the update of one VM, with what happens between them."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(pulumi, "ResourceHook", Hook)
    monkeypatch.setattr(hooks, "TalosNode", lambda address, _: Client(cluster, address))
    monkeypatch.setattr(hooks, "service_runs", cluster.runs)

    async def member(address: str, _credentials: object) -> bool:
        return cluster.name(address) not in cluster.down

    monkeypatch.setattr(hooks, "is_member", member)
    known = {
        name: Member(controlplane=name.startswith("cp"), address=IPv4Address(address))
        for name, address in ADDRESSES.items()
        if name in cluster.members or name == "worker-0"
    }
    checks = TalosChecks(
        members=known,
        api_vip=IPv4Address("192.0.2.99"),
        client=ClientCredentials(NOTHING, NOTHING, NOTHING),
        kubernetes_ca=NOTHING,
        talos_version="v1.13.9",
        kubernetes_version="v1.36.3",
        node_timeout=0.2,
        api_timeout=0.2,
    )
    checks.__dict__["_versions"] = _NoVersions()
    around = checks.around_vm_update()
    args = pulumi.ResourceHookArgs("urn", "1", name, "t")

    async def both() -> None:
        await cast(Any, around.before).callback(args)
        meanwhile()
        await cast(Any, around.after).callback(args)

    asyncio.run(both())


def restarts(cluster: Cluster, name: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a node's VM is changed."""
    reached: list[bool] = []
    changed(cluster, name, monkeypatch, lambda: reached.append(True))
    return bool(reached)


@pytest.mark.parametrize(("members", "away"), [(3, 0), (5, 0), (5, 1)])
def test_a_control_plane_restarts_while_the_others_keep_a_quorum(
    members: int, away: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(control_planes(members), down=[f"cp-{members - each}" for each in range(away)])
    assert restarts(cluster, "cp-1", monkeypatch)


@pytest.mark.parametrize("answers", [False, True], ids=["down", "sick"])
@pytest.mark.parametrize(("members", "away"), [(3, 1), (5, 2)])
def test_a_control_plane_does_not_restart_when_the_others_would_lose_their_quorum(
    members: int, away: int, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = [f"cp-{members - each}" for each in range(away)]
    cluster = Cluster(control_planes(members), down=[] if answers else gone, sick=gone if answers else [])
    reached: list[bool] = []
    with pytest.raises(TalosError) as refused:
        changed(cluster, "cp-1", monkeypatch, lambda: reached.append(True))
    left = ", ".join(f"cp-{each}" for each in range(2, members + 1 - away))
    assert f"healthy without it: {left}; quorum of {members} members: {members // 2 + 1}" in str(refused.value)
    assert "cp-1 was not touched" in str(refused.value)
    assert reached == []


def test_a_member_that_the_settings_do_not_know_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = {"old": "192.0.2.40", "older": "192.0.2.41"}
    cluster = Cluster({**control_planes(3), **unknown}, down=["old", "older"])
    with pytest.raises(TalosError, match=r"healthy without it: cp-2, cp-3; quorum of 5 members: 3"):
        restarts(cluster, "cp-1", monkeypatch)


def test_the_members_are_those_that_the_first_control_plane_which_answers_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = {"cp-2": ADDRESSES["cp-2"]}
    cluster = Cluster(control_planes(3), down=["cp-1"], seen={"cp-3": alone})
    with pytest.raises(TalosError, match=r"healthy without it: cp-2; quorum of 3"):
        restarts(cluster, "cp-3", monkeypatch)


def test_where_no_control_plane_answers_there_is_no_quorum_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    cluster = Cluster(control_planes(3), down=["cp-1", "cp-2", "cp-3"])
    assert restarts(cluster, "cp-1", monkeypatch)
    assert said == ["cp-1: no control plane answers, so there is no etcd quorum that a restart could break"]


def test_a_node_that_was_down_before_its_change_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert restarts(Cluster(control_planes(3), down=["worker-0"]), "worker-0", monkeypatch)
