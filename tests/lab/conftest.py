"""The lab that the tests of the whole program share, brought up once as `make lab` does; a Proxmox VE for one test."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.live import LiveLab
from tests.lab.proxmox_site import Site
from tests.lab.secrecy import command_lines, planted


@dataclass(frozen=True)
class FirstUp:
    """The lab, and what its first `up` could have given away."""

    lab: LiveLab
    command_lines: frozenset[tuple[str, ...]]
    secrets: dict[str, str]


_FAILED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def first_up() -> Iterator[FirstUp]:
    """A lab of the tests' own. Every test that uses it leaves it as its settings say."""
    lab = _own_lab()
    lab.command("down")
    with command_lines() as seen:
        brought_up = lab.command("up")
    assert brought_up.returncode == 0, brought_up.stdout
    yield FirstUp(lab, frozenset(seen), planted(lab))
    ended = lab.command("down")
    assert ended.returncode == 0, ended.stdout


@pytest.fixture(scope="session")
def lab(first_up: FirstUp) -> LiveLab:
    """The lab that `first_up` brought up."""
    return first_up.lab


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
    """Remember that a test with the lab failed: it may not have left it as it should."""
    report = yield
    if report.failed and _uses_the_lab(item):
        item.session.stash[_FAILED] = True
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Bring the lab back after a test that failed, from nothing if need be, so that the next one fails by itself."""
    if not (_uses_the_lab(item) and item.session.stash.get(_FAILED, False)):
        return
    item.session.stash[_FAILED] = False
    lab = _own_lab()
    if lab.command("up").returncode:
        lab.drop()
        lab.command("up")


def _uses_the_lab(item: pytest.Item) -> bool:
    return "first_up" in getattr(item, "fixturenames", ())


def _own_lab() -> LiveLab:
    own = os.environ.get("LAB_ID")
    return LiveLab(f"pytest-{own}" if own else "pytest")
