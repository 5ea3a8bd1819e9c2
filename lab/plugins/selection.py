"""Which provider plugins and which language host the Pulumi CLI gets in the lab.

The user's official plugin is used wherever there is one. The lab's stand-ins speak the same protocol, for the
resources that the program uses; they come first on PATH only where no official one was found.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from lab.golang import GoBinary, build
from lab.programs import Found
from lab.session import outer_environment, outer_path

STAND_INS = {
    "proxmoxve": GoBinary("pulumi-resource-proxmoxve", "plugins/proxmoxve", "."),
    "talos": GoBinary("pulumi-resource-talos", "talos", "./cmd/pulumi-resource-talos"),
    "kubernetes": GoBinary("pulumi-resource-kubernetes", "plugins/kubernetes", "."),
    "tls": GoBinary("pulumi-resource-tls", "plugins/command_tls", "./cmd/pulumi-resource-tls"),
    "random": GoBinary("pulumi-resource-random", "plugins/command_tls", "./cmd/pulumi-resource-random"),
    "command": GoBinary("pulumi-resource-command", "plugins/command_tls", "./cmd/pulumi-resource-command"),
}
"""The stand-in for each provider that the program uses."""

LANGUAGE_HOST = "pulumi-language-python"

LANGUAGE_HOST_STAND_IN = Path(__file__).with_name("language_host")
"""What Python runs in place of a missing language host: a directory with a `__main__.py`."""

OFFICIAL = "official"
STAND_IN = "stand-in"


def official(name: str, path: str, pulumi_home: Path) -> Path | None:
    """The user's own plugin of that name: on `path`, or in the CLI's plugin cache (the newest there)."""
    binary = f"pulumi-resource-{name}"
    if on_path := shutil.which(binary, path=path):
        return Path(on_path)
    found = [path for path in pulumi_home.glob(f"plugins/resource-{name}-v*/{binary}") if os.access(path, os.X_OK)]
    return max(found, key=lambda path: _version_of(path.parent.name), default=None)


def user_pulumi_home() -> Path:
    """The home directory of the user's own Pulumi CLI, not a lab's."""
    return Path(outer_environment().get("PULUMI_HOME") or os.path.expanduser("~/.pulumi"))


def choose() -> dict[str, Found]:
    """Find or build the plugin of each provider and the language host, by the names that the CLI looks for.

    Raises:
        LabError: if a stand-in cannot be built.
    """
    path, home = outer_path(), user_pulumi_home()
    chosen = {}
    for name, stand_in in STAND_INS.items():
        found = official(name, path, home)
        chosen[stand_in.name] = Found(found, OFFICIAL) if found else Found(build(stand_in), STAND_IN)
    host = shutil.which(LANGUAGE_HOST, path=path)
    chosen[LANGUAGE_HOST] = Found(Path(host), OFFICIAL) if host else Found(LANGUAGE_HOST_STAND_IN, STAND_IN)
    return chosen


def fill(directory: Path, programs: Mapping[str, Found]) -> None:
    """Make a directory hold exactly these programs. An entry that is right already is not touched: it may be in use."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for entry in directory.iterdir():
        if entry.name not in programs:
            entry.unlink()
    for name, found in programs.items():
        entry = directory / name
        if name == LANGUAGE_HOST and found.origin == STAND_IN:
            _write_script(entry, f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(found.path))} "$@"\n')
        elif name.startswith(LANGUAGE_HOST):
            # The official one finds its companions beside itself, not beside a link to it.
            entry.unlink(missing_ok=True)
        elif not (entry.is_symlink() and entry.readlink() == found.path):
            entry.unlink(missing_ok=True)
            entry.symlink_to(found.path)


def _write_script(path: Path, text: str) -> None:
    if path.is_symlink():
        path.unlink()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    path.chmod(0o700)


def _version_of(directory: str) -> tuple[int, ...]:
    version = directory.rsplit("-v", 1)[1].split("-")[0].split("+")[0]
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
