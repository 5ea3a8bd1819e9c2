"""Google Drive's nightly run: the script of the release with the real rclone, and a directory in place of Drive."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from checks.gitops.tree import GITOPS
from lab.programs import ensure
from tests.servers.services import container, plain

pytestmark = pytest.mark.long


class Drive:
    """sync.sh with the release's settings, a directory in place of Drive, and the real rclone."""

    def __init__(self, directory: Path) -> None:
        self.remote, self.data, self.home = (directory / name for name in ("remote", "data", "home"))
        for path in (self.remote / "homelab" / "shared", self.data, self.home, directory / "bin"):
            path.mkdir(parents=True)
        (directory / "bin" / "rclone").symlink_to(ensure(["rclone"])["rclone"].path)
        self.environment = plain(container("drive-sync", "rclone")["env"]) | {
            "PATH": f"{directory}/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "RCLONE_CONFIG": str(self.home / "rclone.conf"),
            "RCLONE_CACHE_DIR": str(self.home / "cache"),
            "DATA": str(self.data),
            "DRIVE_REMOTE": f"{self.remote}/",
            "DRIVE_CLIENT_ID": "id",
            "DRIVE_CLIENT_SECRET": "of the client",
            "DRIVE_TOKEN": '{"access_token":"a","refresh_token":"r","expiry":"2026-01-01T00:00:00Z"}',
            "CRYPT_PASSWORD": "one of a generator",
            "CRYPT_SALT": "another one",
        }

    def run(self, **settings: str) -> subprocess.CompletedProcess[str]:
        command = ["/bin/sh", str(GITOPS / "drive-sync" / "sync.sh")]
        return subprocess.run(
            command, env=self.environment | settings, capture_output=True, text=True, timeout=120, check=False
        )

    def rclone(self, *arguments: str) -> str:
        """What the same rclone says afterwards, with the configuration that the script wrote."""
        command = [self.environment["PATH"].partition(":")[0] + "/rclone", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    return Drive(tmp_path)


def test_a_run_mirrors_what_is_there_and_copies_what_is_here(drive: Drive) -> None:
    (drive.remote / "homelab/shared/letter.txt").write_text("from Drive")
    (drive.data / "backup").mkdir()
    (drive.data / "backup/dump.sql").write_text("secret rows")
    done = drive.run()
    assert done.returncode == 0, done.stderr
    assert (drive.data / "drive/letter.txt").read_text() == "from Drive"
    there = [path for path in (drive.remote / "homelab/backup").rglob("*") if path.is_file()]
    assert len(there) == 1
    assert b"secret rows" not in there[0].read_bytes()
    assert "dump" not in there[0].name
    assert drive.rclone("lsf", "backup:") == "dump.sql\n"


def test_what_is_deleted_in_drive_waits_in_the_trash(drive: Drive) -> None:
    letter = drive.remote / "homelab/shared/letter.txt"
    letter.write_text("from Drive")
    assert drive.run().returncode == 0
    letter.unlink()
    assert drive.run().returncode == 0
    assert not (drive.data / "drive/letter.txt").exists()
    [kept] = (drive.data / "trash").glob("*/letter.txt")
    assert kept.read_text() == "from Drive"


def test_a_folder_that_is_empty_all_of_a_sudden_takes_little_with_it(drive: Drive) -> None:
    shared = drive.remote / "homelab/shared"
    for number in range(8):
        (shared / f"{number}.txt").write_text("x")
    assert drive.run().returncode == 0
    shutil.rmtree(shared)
    shared.mkdir()
    assert drive.run(MOST_DELETED="3").returncode != 0
    assert len(list((drive.data / "drive").iterdir())) >= 5


def test_a_backup_that_has_changed_is_not_written_over(drive: Drive) -> None:
    (drive.data / "backup").mkdir()
    dump = drive.data / "backup/dump.sql"
    dump.write_text("good rows")
    assert drive.run().returncode == 0
    dump.write_text("rows that somebody encrypted")
    assert drive.run().returncode != 0
    assert drive.rclone("lsf", "--format", "s", "backup:") == f"{len('good rows')}\n"


@pytest.mark.parametrize("name", ["DRIVE_TOKEN", "CRYPT_PASSWORD", "CRYPT_SALT"])
def test_a_run_without_a_value_changes_nothing_and_says_so(drive: Drive, name: str) -> None:
    done = drive.run(**{name: ""})
    assert (done.returncode, list(drive.data.iterdir())) == (1, [])
    assert "make give" in done.stderr


def test_no_value_is_in_what_a_run_says_nor_readable_by_others(drive: Drive) -> None:
    done = drive.run(RCLONE_VERBOSE="2")
    said = done.stdout + done.stderr
    assert [name for name in ("CRYPT_PASSWORD", "CRYPT_SALT", "DRIVE_TOKEN") if drive.environment[name] in said] == []
    assert Path(drive.environment["RCLONE_CONFIG"]).stat().st_mode & 0o077 == 0


def test_the_remote_of_drive_is_one_that_rclone_knows(drive: Drive) -> None:
    assert drive.run().returncode == 0
    told = json.loads(drive.rclone("config", "dump"))["drive"]
    assert (told["type"], told["token"]) == ("drive", drive.environment["DRIVE_TOKEN"])
    known = {option["Name"] for option in provider(drive, "drive")}
    assert set(told) - {"type"} <= known


def provider(drive: Drive, name: str) -> list[dict[str, Any]]:
    """The options of a kind of storage."""
    [found] = [one for one in json.loads(drive.rclone("config", "providers")) if one["Prefix"] == name]
    return list(found["Options"])
