"""The namespaces that a lab with real pods keeps between its commands. No pod runs here.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lab import processes, programs
from lab.pods import namespaces
from lab.session import Session
from tests.conftest import ROOT
from tests.lab.pods_cluster import refuse_without_root, until
from tests.lab.test_real_pods import control_groups, traces, tunables

ADDRESS = "10.20.3.1"
WATCHED = 2.0
"""Seconds in which what ends with its starter is gone."""


@pytest.fixture
def labs() -> Iterator[tuple[Session, Session]]:
    """Two labs that are begun."""
    refuse_without_root()
    made = Session(f"pytest-a-{os.getpid()}", "lab"), Session(f"pytest-b-{os.getpid()}", "lab")
    for lab in made:
        lab.create()
    yield made
    for lab in made:
        processes.stop_all(lab)
        lab.remove()


def run(lab: Session, *command: str) -> str:
    """What a program prints in a lab's namespaces."""
    entering = namespaces.keep(lab)[1]
    return subprocess.run([*entering, *command], capture_output=True, text=True, check=True).stdout


def test_a_command_finds_what_the_last_one_left(labs: tuple[Session, Session]) -> None:
    run(labs[0], "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    assert ADDRESS in run(labs[0], "ip", "address", "show", "dev", "lo")


def test_they_stay_when_the_command_that_made_them_has_ended(labs: tuple[Session, Session]) -> None:
    made = "from lab.pods import namespaces; from lab.session import Session; "
    made += f"namespaces.keep(Session({labs[0].name!r}, 'lab'))"
    subprocess.run([sys.executable, "-c", made], cwd=ROOT, check=True)
    first = processes.running(labs[0], namespaces.NAME)
    assert first is not None
    ended = time.monotonic()
    while time.monotonic() < ended + WATCHED:
        assert processes.running(labs[0], namespaces.NAME) == first


def test_pulumi_finds_its_project_where_a_command_enters(labs: tuple[Session, Session]) -> None:
    """It asks the kernel where it is, which knows that only of what the namespaces have mounted themselves."""
    pulumi = str(programs.ensure(programs.PREVIEW)["pulumi"].path)
    state = ["env", "-u", "PWD", f"PULUMI_BACKEND_URL=file://{labs[0].directory}", "PULUMI_CONFIG_PASSPHRASE="]
    assert "LAST UPDATE" in run(labs[0], *state, pulumi, "stack", "ls")


def test_labs_side_by_side_see_nothing_of_each_other(labs: tuple[Session, Session]) -> None:
    first, second = labs
    run(first, "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    assert ADDRESS not in run(second, "ip", "address", "show", "dev", "lo")
    processes.stop_all(first)
    assert run(second, "readlink", "/proc/1/ns/net").startswith("net:")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_namespaces_that_end(labs: tuple[Session, Session], number: signal.Signals) -> None:
    before, settings = traces(), tunables()
    group, _ = namespaces.keep(labs[0])
    run(
        labs[0],
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /mnt; setsid sleep 1000 >/dev/null 2>&1 & ip link add left type bridge",
    )
    first = processes.running(labs[0], namespaces.NAME)
    assert first is not None
    os.kill(first.pid, number)

    def left() -> list[object]:
        return [*control_groups(group), *(traces() - before), *processes.members(labs[0])]

    until("nothing", lambda: not left(), lambda: f"left: {left()}")
    assert tunables() == settings


def test_a_lab_that_is_ended_leaves_no_control_group(labs: tuple[Session, Session]) -> None:
    group, _ = namespaces.keep(labs[0])
    processes.stop_all(labs[0])
    until("no control group", lambda: not control_groups(group), lambda: f"left: {control_groups(group)}")
