"""Debian packages that tests need, installed by an apt-get that, like the real one, does not share its lock."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import debian

APT_GET = """#!/bin/sh
mkdir '{directory}/lock' || {{ echo 'Could not get lock' >&2; exit 100; }}
sleep 0.2
echo "$@" >> '{directory}/calls'
case "$1" in install) install -m 755 /dev/null '{directory}/bin/probe' ;; esac
rmdir '{directory}/lock'
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which root may install, and where the package `probe` is missing."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/apt-get"
    program.write_text(APT_GET.format(directory=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "SEARCHED", (str(tmp_path / "bin"),))
    monkeypatch.setattr(debian, "_LOCK_FILE", tmp_path / "turn")
    monkeypatch.setattr(debian, "_POLICY", tmp_path / "policy-rc.d")
    return tmp_path


def test_two_that_miss_the_same_package_install_it_once(machine: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: debian.ensure({"probe": "probe"}), range(2)))
    assert found == [{"probe": machine / "bin/probe"}] * 2
    assert [call.split()[0] for call in (machine / "calls").read_text().splitlines()] == ["update", "install"]
