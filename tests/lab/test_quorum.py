"""The checks around a VM's change against simulated nodes with a real etcd: a member silent, off, back again.

The tests are steps of one life. `tests/unit/talos/test_quorum_checks.py` has what no cluster can be brought to quickly.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import sleep
from typing import Any, cast

import pulumi
import pytest

from components.talos.api import TalosError
from tests.lab.talos_site import NODES, TalosSite, brought_up

RELEASES = {"talos": "v1.13.9", "kubernetes": "v1.36.3"}
PATIENCE = 15.0
"""Seconds; more than a node needs to answer on a machine that does much else."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TalosSite]:
    with brought_up(tmp_path_factory.mktemp("quorum"), **RELEASES) as made:
        yield made


def may_restart(site: TalosSite, name: str, patience: float = PATIENCE) -> None:
    """The hook before the update of a node's VM."""
    checks = replace(site.checks(**RELEASES), node_timeout=patience)
    before = cast(Any, checks.around_vm_update().before)
    asyncio.run(before.callback(pulumi.ResourceHookArgs("urn", "1", name, "t")))


def fault(site: TalosSite, name: str, kind: str) -> None:
    site.control("POST", "/faults", {"machine": NODES[name][0], "fault": kind})


@contextlib.contextmanager
def silent(site: TalosSite, name: str) -> Iterator[None]:
    """A node that answers nobody."""
    fault(site, name, "silent")
    try:
        yield
    finally:
        fault(site, name, "none")


def test_each_node_of_a_healthy_cluster_may_restart(site: TalosSite) -> None:
    for name in NODES:
        may_restart(site, name)


def test_a_control_plane_may_not_restart_while_another_is_silent(site: TalosSite) -> None:
    with silent(site, "cp2"), pytest.raises(TalosError) as refused:
        may_restart(site, "cp1", patience=5)
    assert "healthy without it: cp3; quorum of 3 members: 2" in str(refused.value)
    assert "cp1 was not touched" in str(refused.value)


def test_the_silent_one_itself_may_restart(site: TalosSite) -> None:
    with silent(site, "cp2"):
        may_restart(site, "cp2")


def test_a_worker_may_restart_while_a_control_plane_is_silent(site: TalosSite) -> None:
    with silent(site, "cp2"):
        may_restart(site, "w1")


def test_a_control_plane_that_comes_back_is_waited_for(site: TalosSite) -> None:
    def returns() -> None:
        sleep(3)
        fault(site, "cp2", "none")

    fault(site, "cp2", "silent")
    with ThreadPoolExecutor() as aside:
        returned = aside.submit(returns)
        may_restart(site, "cp1", patience=60)
        assert returned.done()


def test_the_first_control_plane_need_not_be_the_one_that_answers(site: TalosSite) -> None:
    with silent(site, "cp1"), pytest.raises(TalosError, match=r"healthy without it: cp2; quorum of 3 members: 2"):
        may_restart(site, "cp3", patience=5)
