"""Upgrades of Talos that do not go as they should. The tests are steps of one upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.live import VMS, LiveLab

ARGUMENT = "mitigations=off"


def another_kernel_argument(settings: dict[str, Any]) -> None:
    settings.setdefault("talos", {})["kernelArgs"] = [ARGUMENT]


def last_event(lab: LiveLab) -> int:
    return int(lab.nodes("GET", "/events?since=0")[-1]["seq"])


def events(lab: LiveLab, kind: str, since: int) -> list[str]:
    """The node of each event of a kind, in order."""
    return [each["name"] for each in lab.nodes("GET", f"/events?since={since}") if each["kind"] == kind]


def schematics(lab: LiveLab) -> set[str]:
    return {machine["schematic"] for machine in lab.nodes("GET", "/machines")}


@pytest.fixture(scope="module")
def upgrading(lab: LiveLab) -> Iterator[LiveLab]:
    """The lab while its settings want another system on every node."""
    with lab.changed(another_kernel_argument):
        yield lab
    back = lab.up()
    assert back.returncode == 0, back.stdout


def test_a_system_that_does_not_boot_fails_the_up_and_no_other_node_is_touched(upgrading: LiveLab) -> None:
    since = last_event(upgrading)
    upgrading.nodes("POST", "/faults", {"machine": VMS["controlplane-1"], "fault": "upgrade-does-not-boot"})
    failed = upgrading.up()
    assert failed.returncode != 0, failed.stdout
    assert "the new system did not boot, and Talos went back to the old one" in failed.stdout
    assert events(upgrading, "upgrade", since) == ["controlplane-0", "controlplane-1"]


def test_what_failed_is_made_up_for_even_by_an_up_that_is_killed_and_no_node_is_upgraded_twice(
    upgrading: LiveLab,
) -> None:
    since = last_event(upgrading)
    upgrading.up_killed_once(lambda: "controlplane-2" in events(upgrading, "reboot", since))
    upgrading.run("pulumi", "cancel", "--yes")
    again = upgrading.up()
    assert again.returncode == 0, again.stdout
    assert sorted(events(upgrading, "upgrade", since)) == sorted(set(VMS) - {"controlplane-0"})
    assert len(schematics(upgrading)) == 1
