"""A new cluster, and a new node of one: what is waited for before the next step, against nodes that are played."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from components.talos import hooks
from components.talos.api import TalosError
from components.talos.hooks import TalosChecks
from tests.unit.talos.test_quorum_checks import ADDRESSES, NAMES, PATIENT, Client, Node, Site, _call, checks, site

__all__ = ["site"]


@dataclass
class Args:
    """What a hook around a node's first configuration is given."""

    new_inputs: dict[str, Any]


@pytest.fixture
def answering(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Nodes that answer on their API's port, and releases that may be."""

    async def answers(_: str) -> bool:
        return True

    async def may_begin() -> None:
        site.log.append("versions")

    monkeypatch.setattr(hooks, "answers", answers)
    monkeypatch.setattr(TalosChecks, "_versions", SimpleNamespace(may_begin=may_begin))
    return site


def configured(name: str, meanwhile: Node, site: Site, node_timeout: float = 0.15) -> None:
    """The hooks around a node's first configuration, after which it is as `meanwhile` says."""
    around = checks(node_timeout).around_first_configuration()
    args = Args({"node": ADDRESSES[name]})

    async def first() -> None:
        await _call(around.before, args)
        site.nodes[name] = meanwhile
        await _call(around.after, args)

    asyncio.run(first())


@pytest.mark.parametrize("name", ["controlplane-2", "worker-0"])
def test_the_next_node_is_not_configured_until_a_new_one_has_joined(answering: Site, name: str) -> None:
    """A second member of etcd that is not well yet would leave a cluster of two without its quorum."""
    with pytest.raises(TalosError, match=rf"node {name} .* to be healthy after its first configuration"):
        configured(name, Node(unwell=("kubelet",)), answering)


def test_a_new_node_that_takes_its_time_is_waited_for(answering: Site) -> None:
    configured("worker-0", Node(unwell=("kubelet",), wakes_after=3), answering, PATIENT)
    assert answering.nodes["worker-0"].asked > 3


def test_the_nodes_of_a_new_cluster_do_not_wait_for_one_another(answering: Site) -> None:
    """None is healthy before the bootstrap, which comes after the last of them."""
    answering.voters = None
    configured("controlplane-0", Node(unwell=("kubelet", "etcd")), answering)


@dataclass
class Bootstrapped:
    """How often a cluster was bootstrapped, and where."""

    nodes: list[str]


@pytest.fixture
def bootstrapped(answering: Site, monkeypatch: pytest.MonkeyPatch) -> Bootstrapped:
    """Nodes that are bootstrapped, and an API that answers."""
    made = Bootstrapped([])

    def node(address: str, _: object) -> Any:
        client: Any = Client(answering, address)

        async def bootstrap() -> None:
            made.nodes.append(client.name)
            answering.voters = NAMES[:3]

        client.bootstrap = bootstrap
        return client

    async def api_answers(_: TalosChecks) -> None:
        answering.log.append("API")

    monkeypatch.setattr(hooks, "TalosNode", node)
    monkeypatch.setattr(TalosChecks, "_api_answers", api_answers)
    return made


def released(node_timeout: float = PATIENT) -> None:
    """The hook before the kubeconfig."""
    asyncio.run(_call(checks(node_timeout).before_kubeconfig(), Args({})))


def test_a_new_cluster_is_bootstrapped_once_and_at_its_first_control_plane(
    answering: Site, bootstrapped: Bootstrapped
) -> None:
    answering.voters = None
    released()
    assert bootstrapped.nodes == ["controlplane-0"]


@pytest.mark.usefixtures("answering")
def test_a_cluster_that_runs_is_never_bootstrapped_again(bootstrapped: Bootstrapped) -> None:
    """Its first control plane may be a new machine, which would begin a second cluster."""
    released()
    assert bootstrapped.nodes == []


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.usefixtures("bootstrapped")
def test_a_cluster_is_up_when_every_control_plane_is_in_etcd(answering: Site, name: str) -> None:
    """With one that is not, the loss of another would be the loss of the quorum."""
    answering.nodes[name].unwell = ("etcd",)
    with pytest.raises(TalosError, match=rf"node {name} .* to be healthy after its change: etcd not healthy"):
        released(0.15)
    assert "API" not in answering.log
