"""A node's way out of a cluster, with an API and nodes that are played: what is asked, in which order, and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from components.talos import drain, node_removal_command
from components.talos.api import EtcdMember, TalosCredentials, TalosError
from components.talos.drain import Drain
from components.talos.kubernetes_api import Answer, KubernetesApi
from components.talos.node_removal_command import NodeRemoval, Plan


def pod(name: str, *, owner: str = "ReplicaSet", **metadata: Any) -> dict[str, Any]:
    owners = [{"kind": owner, "controller": True}]
    known = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "ownerReferences": owners,
        "labels": {"app": name},
    }
    return {"metadata": known | metadata, "status": {"phase": "Running"}}


@dataclass
class Api:
    """What a drain uses of the Kubernetes API. An evicted pod is gone at the next look, unless it is stubborn."""

    pods: list[dict[str, Any]]
    budgets: list[dict[str, Any]] = field(default_factory=list)
    stubborn: bool = False
    cordoned: bool = False
    evictions: list[Mapping[str, Any]] = field(default_factory=list)

    def request(self, method: str, _: str, body: Any = None, **__: str) -> Answer:
        if method == "PATCH":
            self.cordoned = bool(body["spec"]["unschedulable"])
        elif method == "POST":
            assert self.cordoned, "a pod is evicted to where it may come back"
            self.evictions.append(body)
            if self.stubborn:
                return Answer(429, {"message": "not now", "details": {"causes": [_REFUSED]}})
            self.pods = [
                one for one in self.pods if one["metadata"]["uid"] != body["deleteOptions"]["preconditions"]["uid"]
            ]
        return Answer(200, {"spec": {"unschedulable": self.cordoned}})

    def items(self, path: str) -> Sequence[Mapping[str, Any]]:
        if "poddisruptionbudgets" in path:
            return list(self.budgets)
        # As the API server selects: https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
        [selector] = parse_qs(urlsplit(path).query).get("fieldSelector", [""])
        fields = {"metadata.name": lambda one: one["metadata"]["name"], "spec.nodeName": _node}
        name, _, value = selector.partition("=")
        return [one for one in self.pods if not selector or fields[name](one) == value]


def _node(one: Mapping[str, Any]) -> str:
    """Where a pod runs: on the node that is drained, unless it says so."""
    return str(one.get("spec", {}).get("nodeName", "worker-0"))


_REFUSED = {"reason": "DisruptionBudget", "message": "the budget needs 2 healthy pods"}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_POLL", 0.01)


def drained(api: Api, seconds: float = 5) -> None:
    Drain(cast(KubernetesApi, api), "worker-0", seconds).run()


def test_every_pod_that_can_move_is_evicted_from_a_closed_node() -> None:
    api = Api([pod("web"), pod("database", owner="StatefulSet")])
    drained(api)
    assert {one["metadata"]["name"] for one in api.evictions} == {"web", "database"}
    assert api.cordoned


def test_a_pod_of_another_node_stays_where_it_is() -> None:
    api = Api([pod("web"), pod("other") | {"spec": {"nodeName": "worker-1"}}])
    drained(api)
    assert [one["metadata"]["name"] for one in api.evictions] == ["web"]


@pytest.mark.parametrize(
    "staying",
    [
        pod("agent", owner="DaemonSet"),
        pod("kube-apiserver", annotations={"kubernetes.io/config.mirror": "x"}),
        pod("job") | {"status": {"phase": "Succeeded"}},
    ],
    ids=["of a DaemonSet", "static", "finished"],
)
def test_a_pod_that_would_only_come_back_is_not_waited_for(staying: dict[str, Any]) -> None:
    api = Api([staying])
    drained(api)
    assert api.evictions == []


def test_a_pod_is_evicted_by_its_uid_so_that_its_successor_stays() -> None:
    api = Api([pod("web")])
    drained(api)
    assert [one["deleteOptions"]["preconditions"]["uid"] for one in api.evictions] == ["uid-web"]


def test_a_node_that_cannot_be_drained_takes_pods_again() -> None:
    api = Api([pod("web")], stubborn=True)
    with pytest.raises(TalosError, match=r"takes pods again: .* the budget needs 2 healthy pods"):
        drained(api, seconds=0.05)
    assert not api.cordoned


def test_a_node_that_somebody_closed_stays_closed_when_it_cannot_be_drained() -> None:
    api = Api([pod("web")], stubborn=True, cordoned=True)
    with pytest.raises(TalosError, match="is cordoned as before"):
        drained(api, seconds=0.05)
    assert api.cordoned


def test_the_budget_that_never_lets_a_pod_go_is_named_with_the_way_out() -> None:
    budget = {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 0, "expectedPods": 1, "currentHealthy": 1, "desiredHealthy": 1},
    }
    with pytest.raises(TalosError, match="disruption budget shop/web lets no pod go, as it wants 1 of 1"):
        drained(Api([pod("web")], budgets=[budget], stubborn=True), seconds=0.05)


NAMES = ("controlplane-0", "controlplane-1", "controlplane-2")
ADDRESSES = {name: f"192.0.2.{number}" for number, name in enumerate(NAMES, 1)}


@dataclass
class Cluster:
    """Control planes that are played, and what was done to them, in order."""

    members: list[str] = field(default_factory=lambda: list(NAMES))
    sick: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    asked_after_shutdown: int = 0
    answered_after_shutdown: Sequence[bool] = (True, True)
    """Whether the node answers to each question; to further ones it does not."""
    deletion: Answer = field(default_factory=lambda: Answer(200, {}))


class Client:
    """What a removal uses of TalosNode."""

    def __init__(self, cluster: Cluster, address: str) -> None:
        self.cluster = cluster
        self.name = next((name for name, known in ADDRESSES.items() if known == address), "worker-0")

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def etcd_members(self) -> list[EtcdMember]:
        if self.name in self.cluster.silent:
            raise TalosError(f"{self.name} does not answer")
        return [EtcdMember(name, number, ADDRESSES[name]) for number, name in enumerate(self.cluster.members)]

    async def leave_etcd(self) -> None:
        self.cluster.done.append(f"{self.name} leaves etcd")
        self.cluster.members.remove(self.name)

    async def remove_etcd_member(self, member: int) -> None:
        self.cluster.done.append(f"{self.cluster.members[member]} is removed from etcd")
        del self.cluster.members[member]

    async def shut_down(self) -> None:
        self.cluster.done.append(f"{self.name} shuts down")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()

    async def service_runs(address: str, _: object, __: str) -> bool:
        return Client(cluster, address).name not in cluster.sick | cluster.silent

    async def is_member(address: str, _: object) -> bool:
        return Client(cluster, address).name not in cluster.silent

    async def answers(_: str, __: float) -> bool:
        cluster.asked_after_shutdown += 1
        return (*cluster.answered_after_shutdown, *[False] * 9)[cluster.asked_after_shutdown - 1]

    class Kubernetes:
        def request(self, method: str, path: str) -> Answer:
            cluster.done.append(f"{method} {path}")
            return cluster.deletion

    async def api(*_: object) -> Kubernetes:
        return Kubernetes()

    class Drained:
        def __init__(self, _: object, node: str, __: float) -> None:
            self.node = node

        def run(self) -> None:
            cluster.done.append(f"{self.node} is drained")

    async def at_once(_: float) -> None:
        pass

    monkeypatch.setattr(node_removal_command, "TalosNode", lambda address, _: Client(cluster, address))
    monkeypatch.setattr(node_removal_command, "service_runs", service_runs)
    monkeypatch.setattr(node_removal_command, "is_member", is_member)
    monkeypatch.setattr(node_removal_command, "answers", answers)
    monkeypatch.setattr(node_removal_command, "Drain", Drained)
    monkeypatch.setattr(KubernetesApi, "of", api)
    monkeypatch.setattr(asyncio, "sleep", at_once)
    return cluster


def removed(name: str, wanted: Sequence[str] = NAMES) -> None:
    plan = Plan(
        node=name, address=ADDRESSES.get(name, "192.0.2.9"), controlplanes={one: ADDRESSES[one] for one in wanted}
    )
    asyncio.run(NodeRemoval(plan, TalosCredentials(b"", b"", b"")).run())


def test_a_control_plane_drains_leaves_etcd_ends_and_is_forgotten_in_this_order(cluster: Cluster) -> None:
    removed("controlplane-2")
    assert cluster.done == [
        "controlplane-2 is drained",
        "controlplane-2 leaves etcd",
        "controlplane-2 shuts down",
        "DELETE /api/v1/nodes/controlplane-2",
    ]


def test_a_worker_drains_ends_and_is_forgotten(cluster: Cluster) -> None:
    removed("worker-0")
    assert cluster.done == ["worker-0 is drained", "worker-0 shuts down", "DELETE /api/v1/nodes/worker-0"]


def test_a_node_counts_as_off_only_after_it_was_silent_three_times(cluster: Cluster) -> None:
    removed("worker-0")
    assert cluster.asked_after_shutdown == 5


def test_probes_that_got_lost_do_not_add_up_to_a_node_that_is_off(cluster: Cluster) -> None:
    cluster.answered_after_shutdown = (False, True, False, True, False, True)
    removed("worker-0")
    assert cluster.asked_after_shutdown == 9


@pytest.mark.parametrize("status", [HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND])
def test_a_node_that_is_forgotten_already_ends_a_repeated_removal(cluster: Cluster, status: HTTPStatus) -> None:
    cluster.deletion = Answer(status, {})
    removed("worker-0")
    assert cluster.done[-1] == "DELETE /api/v1/nodes/worker-0"


def test_a_node_that_the_api_does_not_forget_is_told_with_the_reason(cluster: Cluster) -> None:
    cluster.deletion = Answer(HTTPStatus.FORBIDDEN, {"message": "not yours"})
    with pytest.raises(TalosError, match="Node worker-0 was not deleted: the Kubernetes API says 403: not yours"):
        removed("worker-0")


def test_a_dead_control_plane_is_removed_by_another(cluster: Cluster) -> None:
    cluster.silent = {"controlplane-2"}
    removed("controlplane-2")
    assert cluster.done == ["controlplane-2 is removed from etcd", "DELETE /api/v1/nodes/controlplane-2"]


def test_a_member_stays_while_the_others_cannot_decide_without_it(cluster: Cluster) -> None:
    cluster.sick = {"controlplane-1"}
    with pytest.raises(TalosError, match=r"controlplane-0 stays in etcd: of the others .* 2 must be healthy"):
        removed("controlplane-0")
    assert cluster.done == []


def test_a_second_control_plane_does_not_leave_right_after_the_first(cluster: Cluster) -> None:
    cluster.members = ["controlplane-0", "controlplane-1"]
    with pytest.raises(TalosError, match="of 3 control planes only controlplane-1 would be left"):
        removed("controlplane-0")
    assert cluster.done == []


def test_the_last_control_plane_does_not_leave(cluster: Cluster) -> None:
    with pytest.raises(TalosError, match="is the only control plane, and the cluster ends with it"):
        removed("controlplane-0", wanted=NAMES[:1])
    assert cluster.done == []
