"""Drive's nightly script, with an rclone that only notes what it is told.

`tests/servers/test_drive_sync.py` has it with the real one.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from checks.gitops.tree import GITOPS
from checks.rules.capacity import quantity

FOLDER = GITOPS / "drive-sync"
RCLONE = '#!/bin/sh\n[ "$1" = obscure ] && { cat; exit; }\necho "$@" >>"$NOTES"\n'
RELEASE = yaml.safe_load((FOLDER / "release.yaml").read_text())
[CONTAINER] = RELEASE["spec"]["values"]["controllers"]["main"]["containers"].values()


@pytest.fixture
def told(tmp_path: Path) -> list[list[str]]:
    """What a run tells rclone, in order."""
    (tmp_path / "bin").mkdir()
    rclone = tmp_path / "bin" / "rclone"
    rclone.write_text(RCLONE)
    rclone.chmod(0o755)
    given = {name: text if isinstance(text, str) else "given" for name, text in CONTAINER["env"].items()}
    given |= {"DATA": str(tmp_path / "data"), "RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "HOME": str(tmp_path)}
    given |= {"NOTES": str(tmp_path / "notes"), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    subprocess.run(["sh", str(FOLDER / "sync.sh")], env=given, check=True, timeout=60)
    return [line.split() for line in (tmp_path / "notes").read_text().splitlines()]


def test_a_fault_at_the_other_end_deletes_little_and_nothing_for_good(told: list[list[str]]) -> None:
    """A folder that is empty by mistake looks like one that somebody has emptied (rclone.org/docs, --max-delete)."""
    [sync] = [command for command in told if command[0] == "sync"]
    most = int(sync[sync.index("--max-delete") + 1])
    assert 0 < most <= 1000
    assert "/trash/" in sync[sync.index("--backup-dir") + 1]


def test_what_is_kept_in_drive_is_never_written_over(told: list[list[str]]) -> None:
    """A file that was damaged here must not take the place of the good one there."""
    [copy] = [command for command in told if command[0] == "copy"]
    assert "--immutable" in copy
    assert copy[2] == "backup:"


def test_what_was_copied_is_compared_with_what_is_here(told: list[list[str]]) -> None:
    assert [command[0] for command in told] == ["sync", "copy", "cryptcheck"]


def test_nothing_of_the_copy_in_drive_is_ever_deleted(told: list[list[str]]) -> None:
    deleting = {"sync", "move", "delete", "purge", "deletefile", "cleanup"}
    assert [command for command in told if command[0] in deleting and "backup:" in command] == []


SLOW = 20e6 / 8
"""Bytes a second that the way up of a home's connection has at least."""


def test_a_run_has_the_time_to_bring_up_all_that_the_volume_holds() -> None:
    """One that is cut off begins the largest file anew each night, and never ends."""
    values = RELEASE["spec"]["values"]
    seconds = values["controllers"]["main"]["cronjob"]["activeDeadlineSeconds"]
    assert seconds * SLOW >= quantity(values["persistence"]["data"]["size"])
