"""Beginnings of the whole program that were cut off, one after the other, from nothing."""

from __future__ import annotations

import pytest

from tests.lab.live import VMS, LiveLab

pytestmark = pytest.mark.long

MOMENTS = (3.0, 5.0, 8.0, 11.0, 14.0)
"""Seconds after which one is killed."""


def test_an_up_that_is_killed_at_five_points_converges(lab: LiveLab, foreign_vm: int) -> None:
    ended = lab.destroy()
    assert ended.returncode == 0, ended.stdout
    for seconds in MOMENTS:
        lab.up_killed_after(seconds)
        lab.run("pulumi", "cancel", "--yes")
    result = lab.command("up")
    assert result.returncode == 0, result.stdout
    assert set(lab.vms()) == {*VMS.values(), foreign_vm}
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout
