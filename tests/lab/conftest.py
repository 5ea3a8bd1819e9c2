"""What tests share: a lab of the whole program, as of `make lab`, one of its cluster, real pods, and a Proxmox VE."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.lab import (
    certificates_in_pods,
    flux_in_pods,
    names_in_pods,
    postgres_in_pods,
    secrets_in_pods,
    vault_in_pods,
)
from tests.lab.live import CLUSTER, LiveLab
from tests.lab.pods_cluster import PodsCluster, cluster_with_pods
from tests.lab.proxmox_site import Site
from tests.lab.secrecy import command_lines, planted


@dataclass(frozen=True)
class FirstUp:
    """The lab, and what its first `up` took and could have given away."""

    lab: LiveLab
    seconds: float
    command_lines: frozenset[tuple[str, ...]]
    secrets: dict[str, str]


WHOLE, OF_PODS, OF_VAULT, OF_MACHINES = SHARED
_FAILED = pytest.StashKey[set[str]]()

LABS = {WHOLE: LiveLab("pytest"), OF_MACHINES: LiveLab("pytest-cluster", CLUSTER)}


WORKERS = 3
"""Of the cluster with real pods: each server of Vault wants one of its own."""

NAMES = (*names_in_pods.IMAGES, *flux_in_pods.IMAGES, "sealed-secrets")
VAULT = (*certificates_in_pods.IMAGES, *vault_in_pods.IMAGES, *secrets_in_pods.IMAGES, *postgres_in_pods.IMAGES)
"""The images of each cluster with real pods. There are two, so that two workers share the time that they take."""

_OPEN = {OF_PODS: contextlib.ExitStack(), OF_VAULT: contextlib.ExitStack()}
"""Ends the clusters with real pods."""


def end(lab: LiveLab) -> None:
    """Destroy it. One that has ended before stays so."""
    ended = lab.command("down")
    assert ended.returncode == 0, ended.stdout


@pytest.fixture(scope="session")
def first_up() -> Iterator[FirstUp]:
    """A lab of the tests' own. Every test that uses it leaves it as its settings say."""
    lab = LABS[WHOLE]
    lab.command("down")
    with command_lines() as seen:
        began = time.monotonic()
        brought_up = lab.command("up")
        seconds = time.monotonic() - began
    assert brought_up.returncode == 0, brought_up.stdout
    yield FirstUp(lab, seconds, frozenset(seen), planted(lab))
    end(lab)


@pytest.fixture(scope="session")
def lab(first_up: FirstUp) -> LiveLab:
    """The lab that `first_up` brought up."""
    return first_up.lab


@pytest.fixture(scope="session")
def cluster_lab() -> Iterator[LiveLab]:
    """A lab of the layers up to storage, for what happens to machines. Every test leaves it as its settings say."""
    lab = LABS[OF_MACHINES]
    begun = lab.begin()
    assert begun.returncode == 0, begun.stdout
    yield lab
    end(lab)


@pytest.fixture(scope="session")
def pods_cluster() -> Iterator[PodsCluster]:
    """A cluster of workers that run pods. Every test leaves its nodes free for pods."""
    with _OPEN[OF_PODS] as opened:
        yield opened.enter_context(cluster_with_pods(NAMES, workers=WORKERS))


@pytest.fixture(scope="session")
def vault_cluster() -> Iterator[PodsCluster]:
    """Another one, for Vault and those who read from it."""
    with _OPEN[OF_VAULT] as opened:
        yield opened.enter_context(cluster_with_pods(VAULT, workers=WORKERS))


@pytest.fixture(scope="session")
def powerdns_in_pods(pods_cluster: PodsCluster) -> PodsCluster:
    """The same with PowerDNS as stack `prod` has it, and the namespaces of those who call it."""
    names_in_pods.bring_up_powerdns(pods_cluster, pods_cluster.directory)
    return pods_cluster


@pytest.fixture(scope="session")
def certificates_pods(vault_cluster: PodsCluster) -> PodsCluster:
    """That one with cert-manager and the program's own authority."""
    certificates_in_pods.bring_up(vault_cluster, vault_cluster.directory)
    return vault_cluster


@pytest.fixture(scope="session")
def vault_pods(certificates_pods: PodsCluster) -> PodsCluster:
    """The same with Vault, whose servers may not be ready yet."""
    vault_in_pods.bring_up(certificates_pods)
    return certificates_pods


@pytest.fixture(scope="session")
def secrets_pods(vault_pods: PodsCluster) -> PodsCluster:
    """The same with External Secrets, which may read from Vault for the namespace of the program's database."""
    secrets_in_pods.bring_up(vault_pods, vault_pods.directory, postgres_in_pods.NAMESPACE)
    return vault_pods


@pytest.fixture(scope="session")
def postgres_pods(secrets_pods: PodsCluster) -> PodsCluster:
    """The same with CloudNativePG and the program's database, whose owner's password came from Vault."""
    postgres_in_pods.bring_up_operator(secrets_pods, secrets_pods.directory)
    secrets_in_pods.give(secrets_pods, postgres_in_pods.owner(), postgres_in_pods.PASSWORD)
    secrets_pods.apply(postgres_in_pods.owner())
    postgres_in_pods.bring_up_database(secrets_pods)
    return secrets_pods


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A simulated Proxmox VE of the test's own, without the rest of a lab."""
    running = Site(tmp_path)
    yield running
    running.close()


@pytest.fixture(scope="module")
def foreign_vm(lab: LiveLab) -> Iterator[int]:
    """The id of a VM at the lab's site that is somebody else's."""
    foreign = {"vmid": 2008, "node": "pve3", "name": "mail", "tags": "precious", "diskGiB": 10, "status": "running"}
    lab.proxmox("POST", "/vms", foreign)
    yield 2008
    lab.remove_foreign_vm(2008, "pve3")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test with a shared lab failed: it may not have left it as it should."""
    report = yield
    if report.failed:
        item.session.stash.setdefault(_FAILED, set()).update(_shared(item))
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Bring the lab back after a test that failed, from nothing if need be, so that the next one fails by itself."""
    failed = item.session.stash.get(_FAILED, set())
    for name in _shared(item) & failed & LABS.keys():
        failed.discard(name)
        lab = LABS[name]
        if name == OF_MACHINES:
            if lab.prepare().returncode or lab.up().returncode:
                lab.drop()
                lab.begin()
        elif lab.command("up").returncode:
            lab.drop()
            lab.command("up")


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End a lab as soon as nothing uses it any more: an idle one takes a fifth of a core from the other tests."""
    if nextitem is not None and _group(item) != _group(nextitem):
        for name, group in SHARED.items():
            if group == _group(item):
                if name in LABS:
                    end(LABS[name])
                else:
                    _OPEN[name].close()


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker is not None else ""


def _shared(item: pytest.Item) -> set[str]:
    return SHARED.keys() & set(getattr(item, "fixturenames", ()))
