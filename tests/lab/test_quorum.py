"""The checks around changes against simulated nodes with a real etcd: a member silent, off, cut off, back again.
What the lab itself makes of a node that is back is here too, as these nodes are.

The tests are steps of one life. `tests/unit/talos/test_quorum_checks.py` has what no cluster can be brought to quickly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from threading import Event
from time import sleep
from typing import Any, cast

import pulumi
import pytest

from components.talos.api import TalosError
from components.talos.hooks import Around
from tests.lab.talos_site import NODES, TalosSite, brought_up, touched

RELEASES = {"talos": "v1.13.8", "kubernetes": "v1.36.2"}
PATIENCE = 30.0
"""Seconds; more than a node needs to answer on a machine that does much else."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TalosSite]:
    with brought_up(tmp_path_factory.mktemp("quorum"), **RELEASES) as made:
        yield made


def vm_update(site: TalosSite, patience: float) -> Around:
    """The hooks around the update of each VM."""
    return replace(site.checks(**RELEASES), node_timeout=patience).around_vm_update()


def called(hook: pulumi.ResourceHook, name: str) -> None:
    """Call a hook as the engine does for the resource of that name."""
    asyncio.run(cast(Any, hook).callback(pulumi.ResourceHookArgs("urn", "1", name, "t")))


def may_restart(site: TalosSite, name: str, patience: float = PATIENCE) -> None:
    """The hook before the update of a node's VM."""
    called(vm_update(site, patience).before, name)


def test_each_node_of_a_healthy_cluster_may_restart(site: TalosSite) -> None:
    for name in NODES:
        may_restart(site, name)


def test_a_control_plane_may_not_restart_while_another_is_silent(site: TalosSite) -> None:
    with site.silent("cp2"), pytest.raises(TalosError) as refused:
        may_restart(site, "cp1", patience=5)
    assert "healthy without it: cp3; quorum of 3 members: 2" in str(refused.value)
    assert "cp1 was not touched" in str(refused.value)


def test_the_silent_one_itself_may_restart(site: TalosSite) -> None:
    with site.silent("cp2"):
        may_restart(site, "cp2")


def test_a_worker_may_restart_while_a_control_plane_is_silent(site: TalosSite) -> None:
    with site.silent("cp2"):
        may_restart(site, "w1")


def test_a_control_plane_that_comes_back_is_waited_for(site: TalosSite) -> None:
    def returns() -> None:
        with site.silent("cp2"):
            hidden.set()
            sleep(3)

    hidden = Event()
    with ThreadPoolExecutor() as aside:
        returned = aside.submit(returns)
        assert hidden.wait(60)
        may_restart(site, "cp1", patience=60)
        assert returned.done()


def test_the_first_control_plane_need_not_be_the_one_that_answers(site: TalosSite) -> None:
    with site.silent("cp1"), pytest.raises(TalosError, match=r"healthy without it: cp2; quorum of 3 members: 2"):
        may_restart(site, "cp3", patience=5)


def test_a_control_plane_may_not_restart_while_another_is_cut_off(site: TalosSite) -> None:
    """That one answers as always, and finds no leader."""
    with site.without_etcd("cp1"), pytest.raises(TalosError, match=r"healthy without it: cp2; quorum of 3 members: 2"):
        may_restart(site, "cp3", patience=5)


def test_a_node_that_has_lost_its_majority_gets_no_configuration(
    site: TalosSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "patience", 5)
    since = site.last()
    with site.without_etcd("cp2", "cp3"), pytest.raises(TalosError) as refused:
        site.up(**RELEASES, cni="flannel")
    assert "node cp1" in str(refused.value)
    assert "etcd not healthy" in str(refused.value)
    assert touched(site.events(since)) == []


def test_where_no_majority_is_left_one_vm_is_restarted_and_no_second_one(site: TalosSite) -> None:
    """A restart may be what mends it; from this side nobody can tell whether the others are well without this one."""
    hooks = vm_update(site, patience=5)
    with site.without_etcd("cp2", "cp3"):
        called(hooks.before, "cp1")
        with pytest.raises(TalosError, match="no other node was touched"):
            called(hooks.after, "cp1")


@pytest.mark.parametrize(
    ("change", "ailment"),
    [
        ({"cni": "flannel"}, TalosSite.silent),
        ({"cni": "flannel", "kubernetes": "v1.36.3"}, TalosSite.without_etcd),
        ({"cni": "flannel", "kubernetes": "v1.36.3", "talos": "v1.13.9"}, TalosSite.off),
    ],
    ids=["a-setting-and-a-silent-node", "kubernetes-and-one-cut-off", "talos-and-one-that-is-off"],
)
def test_an_up_stops_at_the_node_before_which_another_fell_ill(
    site: TalosSite,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    ailment: Callable[[TalosSite, str], AbstractContextManager[None]],
) -> None:
    """Each step adds a change to what the step before left half done."""
    since: list[int] = []
    with ExitStack() as ill:

        def strike(name: str) -> None:
            since.append(site.last())
            if name == "cp2":
                ill.enter_context(ailment(site, "cp3"))

        monkeypatch.setattr(site, "patience", 8)
        monkeypatch.setattr(site, "before", strike)
        with pytest.raises(TalosError, match=r"etcd to keep its quorum while cp2 restarts: healthy without it: cp1;"):
            site.up(**RELEASES | change)
    before, after = (site.events(number) for number in since)
    assert touched(before) != []
    assert touched(after) == []


def test_pods_that_were_taken_for_lost_with_their_node_are_ready_again_with_it(site: TalosSite) -> None:
    def is_ready() -> str:
        wanted = '{.status.conditions[?(@.type=="Ready")].status}'
        return site.kubectl("-n", "kube-system", "get", "pod", "kube-scheduler-cp2", "-o", f"jsonpath={wanted}")

    assert is_ready() == "True"
    with site.silent("cp2"):
        site.until("its pod to be taken for lost", lambda: is_ready() == "False")
    site.until("its pod to be ready again", lambda: is_ready() == "True")


def test_a_node_may_hang_again_as_soon_as_it_answers(site: TalosSite) -> None:
    for _ in range(20):
        with site.silent("w1"):
            pass
