"""Fills an image with Debian packages as they are installed on this machine, and with all that they depend on.

The packages' own scripts do not run: an image that needs an account or a directory of theirs makes it itself.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

from lab.pods.layers import Layer

_LEFT_OUT = ("/usr/share/doc/", "/usr/share/man/", "/usr/share/locale/", "/usr/share/info/", "/usr/share/lintian/")
_MERGED = {"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/lib64": "usr/lib64"}
"""Links of a system with a merged /usr: https://wiki.debian.org/UsrMerge"""

BASE = ("bash", "coreutils", "dash", "findutils", "grep", "sed", "libc-bin")
"""What a shell script may use."""

_NOT_NEEDED = {"debconf", "dpkg", "perl", "perl-base", "adduser", "init-system-helpers", "tar", "passwd", "systemd"}
"""What only the packages' own scripts use."""


STATUS = Path("/var/lib/dpkg/status")
"""What dpkg writes anew with each package that it installs or removes."""


def _installed() -> dict[str, tuple[str, str]]:
    """Version and dependencies of every package of this machine, also under the names that it provides."""
    return _installed_at(STATUS.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _installed_at(_: int) -> dict[str, tuple[str, str]]:
    form = "${db:Status-Status}\t${Package}\t${Version}\t${Depends}, ${Pre-Depends}\t${Provides}\n"
    text = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    found: dict[str, tuple[str, str]] = {}
    provided: dict[str, str] = {}
    for line in text.splitlines():
        status, name, version, depends, provides = line.split("\t")
        if status == "installed":
            found[name] = (version, depends)
            provided |= dict.fromkeys(_names(provides), name)
    return {virtual: ("", name) for virtual, name in provided.items()} | found


def _names(field: str) -> list[str]:
    """Package names of a field, without versions and architectures; of alternatives, the first that is installed."""
    return [re.sub(r"[:\s(].*", "", part.strip()) for part in field.split(",") if part.strip()]


def closure(packages: Iterable[str], without: Collection[str] = ()) -> dict[str, str]:
    """Versions of the packages and of all that they depend on.

    without: packages that stay out, with what nothing else depends on.

    Raises:
        KeyError: if one is not installed.
    """
    known, wanted, found = _installed(), list(packages), dict[str, str]()
    while wanted:
        name = wanted.pop()
        if name in found or name in _NOT_NEEDED or name in without:
            continue
        version, depends = known[name]
        if version:
            found[name] = version
        for part in depends.split(","):
            choices = [choice for one in part.split("|") for choice in _names(one)]
            wanted += [choice for choice in choices if choice in known][:1]
    return found


def key(packages: Iterable[str], without: Collection[str] = ()) -> str:
    """What decides the content of `fill`: the packages' versions, and what is done with them."""
    how = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    versions = (f"{name}={version}" for name, version in sorted(closure(packages, without).items()))
    return " ".join([how, *versions, *(f"!{name}" for name in sorted(without))])


def fill(layer: Layer, packages: Iterable[str], without: Collection[str] = ()) -> None:
    """Add the files of the packages and of all that they depend on.

    without: packages that stay out, and files, by the beginning of their path.
    """
    left_out = (*_LEFT_OUT, *(each for each in without if each.startswith("/")))
    for path, target in _MERGED.items():
        layer.link(path, target)
    layer.directory("/tmp", mode=0o1777)  # noqa: S108
    for path in ("/run", "/proc", "/sys", "/dev"):
        layer.directory(path)
    layer.link("/usr/bin/awk", "mawk")  # an alternative, which the package's own script makes
    names = sorted(closure(packages, without))
    listed = subprocess.run(["dpkg-query", "-L", *names], capture_output=True, text=True, check=True).stdout
    for line in sorted({line for line in listed.splitlines() if line.startswith("/")}):
        found = Path(os.path.realpath(os.path.dirname(line))) / os.path.basename(line)
        if line == "/." or str(found) in _MERGED or f"{found}/".startswith(left_out) or not os.path.lexists(found):
            continue
        layer.copy(found, str(found))
