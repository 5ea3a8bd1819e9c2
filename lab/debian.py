"""Programs that come as Debian packages: the real servers of tests.

Installs what is missing where it may (root on Debian), and otherwise names what is missing and how to install it.
Services that a package brings are not started: a test runs the programs itself, on addresses of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.errors import LabError
from lab.packages import how_to_install
from lab.progress import ticking

SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Servers are in sbin directories, which an ordinary user's PATH lacks."""

_POLICY = Path("/usr/sbin/policy-rc.d")

_LOCK_FILE = Path("/run/lock/homelab-packages.lock")
"""Parallel test processes take turns here: apt-get refuses to wait for the lock of its package lists."""

_WAIT_SECONDS = 300
"""How long apt-get waits for another program (an unattended upgrade, say) that holds dpkg's lock."""


def ensure(packages: Mapping[str, str]) -> dict[str, Path]:
    """The path of each program, given with the package that brings it.

    Raises:
        LabError: if one is missing and cannot be installed here.
    """
    missing = _missing(packages)
    if missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            programs = sorted(program for program in packages if _which(program) is None)
            raise LabError(f"{', '.join(programs)} missing: {how_to_install(missing)}")
        with _alone():
            if still_missing := _missing(packages):
                _install(still_missing)
    found = {program: _which(program) for program in packages}
    absent = sorted(program for program, path in found.items() if path is None)
    if absent:
        raise LabError(f"{', '.join(absent)} missing, though {', '.join(missing)} was installed")
    return {program: path for program, path in found.items() if path is not None}


def _missing(packages: Mapping[str, str]) -> list[str]:
    return sorted({package for program, package in packages.items() if _which(program) is None})


def _command(packages: list[str]) -> list[str]:
    return ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with _LOCK_FILE.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _which(program: str) -> Path | None:
    if program.startswith("/"):
        return Path(program) if Path(program).exists() else None
    found = shutil.which(program, path=os.pathsep.join(SEARCHED))
    return Path(found) if found else None


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = _command(packages)
    waiting = ["-o", f"DPkg::Lock::Timeout={_WAIT_SECONDS}"]
    with ticking(f"installing {' '.join(packages)} (apt-get)"), _services_stay_off():
        for step in (["apt-get", "update", "-qq"], [*command, *waiting]):
            done = subprocess.run(
                step, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise LabError(f"{' '.join(command)} failed:\n{done.stderr.strip()[-2000:]}")


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Debian asks this script before it starts a service: https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt"""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
