"""Upgrades of Talos that do not go as they should. Each test leaves the lab as its settings say."""

from __future__ import annotations

from typing import Any

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


def test_a_system_that_does_not_boot_fails_the_up_and_no_other_node_is_touched(lab: LiveLab) -> None:
    since = last_event(lab)
    with lab.changed(another_kernel_argument):
        lab.nodes("POST", "/faults", {"machine": VMS["controlplane-1"], "fault": "upgrade-does-not-boot"})
        failed = lab.up()
        touched = events(lab, "upgrade", since)
        again = lab.up()
        done = schematics(lab)
    assert lab.up().returncode == 0
    assert failed.returncode != 0, failed.stdout
    assert "the new system did not boot, and Talos went back to the old one" in failed.stdout
    assert touched == ["controlplane-0", "controlplane-1"]
    assert again.returncode == 0, again.stdout
    assert len(done) == 1


def test_an_up_that_is_killed_in_an_upgrade_is_finished_by_the_next_and_upgrades_no_node_twice(lab: LiveLab) -> None:
    since = last_event(lab)
    with lab.changed(another_kernel_argument):
        lab.up_killed_once(lambda: "controlplane-1" in events(lab, "reboot", since))
        lab.run("pulumi", "cancel", "--yes")
        again = lab.up()
        upgraded = events(lab, "upgrade", since)
        done = schematics(lab)
    back = lab.up()
    assert again.returncode == 0, again.stdout
    assert sorted(upgraded) == sorted(VMS)
    assert len(done) == 1
    assert back.returncode == 0, back.stdout
