"""What a system calls the packages that the lab and its tests need, and the command with which it installs them.

Owns those words. Packages are named as Debian does. Does not install anything: on Debian, `debian` does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class System:
    """A package manager: how it installs, and its names for packages where they are not Debian's.

    A package without a name there is None: it has to come from elsewhere.
    """

    install: str
    names: Mapping[str, str | None] = field(default_factory=dict)
    as_root: bool = True


_RED_HAT = {
    "bind9-dnsutils": "bind-utils",
    "golang-go": "golang",
    "libnginx-mod-stream": "nginx-mod-stream",
    "mariadb-client": "mariadb",
    "pdns-backend-sqlite3": "pdns-backend-sqlite",
    "pdns-server": "pdns",
    "python3-venv": "python3",
}
_SUSE = {
    "bind9-dnsutils": "bind-utils",
    "golang-go": "go",
    "libnginx-mod-stream": "nginx",
    "mariadb-server": "mariadb",
    "openssh-server": "openssh",
    "pdns-server": "pdns",
    "python3-venv": "python3",
}
_ARCH = {
    "bind9-dnsutils": "bind",
    "dnsperf": None,
    "golang-go": "go",
    "libnginx-mod-stream": "nginx",
    "mariadb-client": "mariadb",
    "mariadb-server": "mariadb",
    "openssh-server": "openssh",
    "pdns-backend-mysql": "powerdns",
    "pdns-backend-sqlite3": "powerdns",
    "pdns-server": "powerdns",
    "python3": "python",
    "python3-venv": "python",
}
_ALPINE = {
    "bind9-dnsutils": "bind-tools",
    "golang-go": "go",
    "libnginx-mod-stream": "nginx-mod-stream",
    "mariadb-server": "mariadb",
    "pdns-backend-mysql": "pdns-backend-mariadb",
    "pdns-server": "pdns",
    "python3-venv": "python3",
    "util-linux": "util-linux-misc",
}
_BREW = {
    "bind9-dnsutils": "bind",
    "golang-go": "go",
    "libnginx-mod-stream": "nginx",
    "mariadb-client": "mariadb",
    "mariadb-server": "mariadb",
    "openssh-server": "openssh",
    "pdns-backend-mysql": "pdns",
    "pdns-backend-sqlite3": "pdns",
    "pdns-server": "pdns",
    "python3": "python",
    "python3-venv": "python",
    "util-linux": None,  # Network namespaces are Linux's.
}

SYSTEMS: Mapping[str, System] = {
    "apt-get": System("apt-get install"),
    "dnf": System("dnf install", _RED_HAT),
    "pacman": System("pacman -S", _ARCH),
    "apk": System("apk add", _ALPINE),
    "zypper": System("zypper install", _SUSE),
    "brew": System("brew install", _BREW, as_root=False),
}
"""By the program whose presence tells."""


def how_to_install(packages: Iterable[str]) -> str:
    """What a person does about missing packages, in the words of the system that this machine runs."""
    wanted = sorted(set(packages))
    found = next((system for program, system in SYSTEMS.items() if shutil.which(program)), None)
    if found is None:
        return f"install what Debian calls {', '.join(wanted)}"
    named = {package: found.names.get(package, package) for package in wanted}
    sudo = "sudo " if found.as_root and os.geteuid() != 0 else ""
    have = sorted({name for name in named.values() if name})
    command = f"install with: {sudo}{found.install} {' '.join(have)}" if have else ""
    absent = [package for package, name in named.items() if name is None]
    elsewhere = f"{', '.join(absent)} is not among its packages, and comes from elsewhere" if absent else ""
    return "; ".join(part for part in (command, elsewhere) if part)
