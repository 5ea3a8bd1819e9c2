"""What is missing is named in the words of the system that misses it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.packages import SYSTEMS, how_to_install
from tests.conftest import ROOT

On = Callable[..., None]


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> On:
    """A machine with one package manager, and no other program."""

    def have(manager: str | None, user: int = 1000) -> None:
        if manager:
            (tmp_path / manager).touch(mode=0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(os, "geteuid", lambda: user)

    return have


def asked_for() -> set[str]:
    """Every text in quotes in the tests and the lab, the names of packages among them."""
    files = [*(ROOT / "tests/servers").glob("*.py"), *(ROOT / "lab").glob("*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.name != "packages.py"]
    return set(re.findall(r"""["']([a-z0-9][a-z0-9.+-]+)["']""", "\n".join(texts)))


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("apt-get", "install with: sudo apt-get install nginx pdns-server"),
        ("dnf", "install with: sudo dnf install nginx pdns"),
        ("pacman", "install with: sudo pacman -S nginx powerdns"),
        ("apk", "install with: sudo apk add nginx pdns"),
        ("zypper", "install with: sudo zypper install nginx pdns"),
        ("brew", "install with: brew install nginx pdns"),
        (None, "install what Debian calls nginx, pdns-server"),
    ],
)
def test_the_command_is_that_of_the_system(on: On, manager: str | None, expected: str) -> None:
    on(manager)
    assert how_to_install(["pdns-server", "nginx", "nginx"]) == expected


def test_root_needs_no_sudo(on: On) -> None:
    on("dnf", user=0)
    assert how_to_install(["golang-go"]) == "install with: dnf install golang"


def test_a_package_that_a_system_does_not_have_is_said_to_come_from_elsewhere(on: On) -> None:
    on("pacman")
    assert how_to_install(["dnsperf", "golang-go"]) == (
        "install with: sudo pacman -S go; dnsperf is not among its packages, and comes from elsewhere"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_translates_only_what_somebody_asks_for(system: str) -> None:
    assert set(SYSTEMS[system].names) - asked_for() == {"python3", "python3-venv"} & SYSTEMS[system].names.keys()


@pytest.mark.parametrize("manager", SYSTEMS)
def test_a_machine_without_python_is_told_its_own_way_to_get_it(tmp_path: Path, manager: str) -> None:
    (tmp_path / manager).touch(mode=0o755)
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    shell = shutil.which("sh")
    assert shell
    environment = {"PATH": str(tmp_path), "PYTHON": "python-that-is-not-there"}
    done = subprocess.run(
        [shell, "lab/bootstrap.sh"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"Install Python 3.11 or newer: {SYSTEMS[manager].install} python" in done.stderr
