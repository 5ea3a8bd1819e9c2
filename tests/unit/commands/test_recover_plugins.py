"""Which provider plugins `make recover` ends: real processes under the names that Pulumi's have."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacks.commands import recover_plugins
from stacks.commands.recover_plugins import end_orphans, orphans


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with a plugin that does nothing, and a Pulumi that runs it."""
    for name, program in {"pulumi-resource-idle": "sleep", "pulumi": "sh"}.items():
        found = shutil.which(program)
        assert found
        shutil.copy(Path(found).resolve(), tmp_path / name)
    return tmp_path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    directory = tmp_path / "checkout"
    directory.mkdir()
    return directory


@pytest.fixture
def orphan(programs: Path, checkout: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A plugin whose parent is not Pulumi, but these tests."""
    with subprocess.Popen([programs / "pulumi-resource-idle", "60"], cwd=checkout) as process:
        yield process
        process.kill()


def test_a_plugin_without_a_pulumi_is_ended(orphan: subprocess.Popen[bytes], checkout: Path) -> None:
    assert end_orphans(checkout) == 1
    assert orphan.wait(5) == -9


def test_a_plugin_of_another_checkout_is_left_alone(orphan: subprocess.Popen[bytes], tmp_path: Path) -> None:
    assert end_orphans(tmp_path) == 0
    assert orphan.poll() is None


def test_a_plugin_whose_pulumi_runs_is_left_alone(programs: Path, checkout: Path) -> None:
    script = f"{programs}/pulumi-resource-idle 60 & echo; wait"
    with subprocess.Popen([programs / "pulumi", "-c", script], cwd=checkout, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert orphans(checkout) == []
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 30
        while end_orphans(checkout) == 0:  # now it has none
            assert time.monotonic() < deadline


def test_a_plugin_whose_pulumi_ends_meanwhile_is_ended_too(
    orphan: subprocess.Popen[bytes], programs: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([programs / "pulumi-resource-idle", "60"], cwd=checkout) as later:
        looks = iter([[orphan.pid], [later.pid], []])
        monkeypatch.setattr(recover_plugins, "orphans", lambda _root: next(looks))
        assert end_orphans(checkout) == 2
        assert later.wait(5) == -9
