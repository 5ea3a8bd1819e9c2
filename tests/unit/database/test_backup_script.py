"""The script of a backup, run with a database that is played: what it leaves, and what it deletes."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checks.graph import reveal
from components.database.postgres_backup import _DUMP
from tests.graph.test_conventions import graph_of

DAY = 24 * 3600

PG_DUMP = """\
#!/bin/sh
for argument; do case "$argument" in --file=*) file="${argument#--file=}";; esac; done
printf '%s' "$CONTENT" > "$file"
exit "$DUMP_STATUS"
"""

PG_RESTORE = """\
#!/bin/sh
[ "$1" = --list ] && grep -q whole "$2"
"""


@dataclass(frozen=True)
class Volume:
    """The volume with the copies, and what stands in for PostgreSQL's programs."""

    directory: Path
    programs: Path

    def run(self, *, content: str = "a whole dump", status: int = 0, kept: int = 14) -> int:
        """Run the script as the container does, but for the place of the volume; its exit code."""
        environment = {"CONTENT": content, "DUMP_STATUS": str(status), "KEPT_DAYS": str(kept)}
        script = _DUMP.replace("/backup", str(self.directory))
        return subprocess.run(
            ["sh", "-c", script],
            env={**environment, "PATH": f"{self.programs}:{os.environ['PATH']}"},
            capture_output=True,
            check=False,
        ).returncode

    def add(self, name: str, *, days: float) -> None:
        """A file of that age."""
        file = self.directory / name
        file.write_text("a whole dump")
        then = file.stat().st_mtime - days * DAY
        os.utime(file, (then, then))

    @property
    def names(self) -> set[str]:
        return {file.name for file in self.directory.iterdir()}

    @property
    def new(self) -> list[str]:
        """Names of copies that this run made, which begin with the year."""
        return [name for name in self.names if name.startswith("2") and name.endswith(".dump")]


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    directory, programs = tmp_path / "volume", tmp_path / "programs"
    directory.mkdir()
    programs.mkdir()
    for name, text in (("pg_dump", PG_DUMP), ("pg_restore", PG_RESTORE)):
        (programs / name).write_text(text)
        (programs / name).chmod(stat.S_IRWXU)
    return Volume(directory, programs)


def test_a_dump_becomes_a_copy_under_the_time_of_its_making(volume: Volume) -> None:
    assert volume.run() == 0
    [copy] = volume.new
    assert (volume.directory / copy).read_text() == "a whole dump"
    assert volume.names == {copy}


def test_a_dump_that_cannot_be_read_never_counts_as_a_copy(volume: Volume) -> None:
    volume.add("old.dump", days=1)
    assert volume.run(content="half a du") != 0
    assert volume.new == []
    assert "old.dump" in volume.names


def test_a_dump_that_failed_deletes_nothing(volume: Volume) -> None:
    # On the days after the database was lost, the old copies are the last.
    volume.add("last.dump", days=300)
    assert volume.run(status=1) != 0
    assert "last.dump" in volume.names
    assert volume.new == []


def test_old_copies_go_and_young_ones_stay(volume: Volume) -> None:
    volume.add("young.dump", days=13)
    volume.add("old.dump", days=16)
    assert volume.run(kept=14) == 0
    assert "young.dump" in volume.names
    assert "old.dump" not in volume.names


def test_what_an_interrupted_run_left_is_removed(volume: Volume) -> None:
    volume.add("broken.dump.part", days=0)
    assert volume.run() == 0
    assert [name for name in volume.names if name.endswith(".part")] == []


def job() -> Any:
    [found] = graph_of("prod", known=True).of_type("kubernetes:batch/v1:CronJob")
    return reveal(found.inputs)["spec"]


def test_there_is_a_copy_of_each_day() -> None:
    minute, hour, *others = job()["schedule"].split()
    assert (minute.isdecimal(), hour.isdecimal(), others) == (True, True, ["*", "*", "*"])


def test_two_runs_never_write_to_the_volume_at_once() -> None:
    # Each would remove what the other has not finished.
    assert job()["concurrencyPolicy"] == "Forbid"


def test_a_fault_that_is_seen_after_a_week_is_not_in_every_copy() -> None:
    [container] = job()["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    [kept] = [int(one["value"]) for one in container["env"] if one["name"] == "KEPT_DAYS"]
    assert kept > 7


def test_copies_are_written_to_the_volume_that_outlives_the_pod() -> None:
    pod = job()["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [volume] = [one["name"] for one in pod["volumes"] if "persistentVolumeClaim" in one]
    [mount] = [one for one in container["volumeMounts"] if one["name"] == volume]
    written = [word for word in container["command"][-1].split() if word.startswith(f"{mount['mountPath']}/")]
    assert written
    assert not mount.get("readOnly")
