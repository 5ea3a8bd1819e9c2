"""Secrets of the whole program on a lab: not in its state, its logs, its files or any command line."""

from __future__ import annotations

import contextlib
import stat
import subprocess
from pathlib import Path

from tests.changing import below
from tests.lab.conftest import FirstUp
from tests.lab.live import LiveLab
from tests.lab.secrecy import command_lines, found_in, planted, programs


def modes(lab: LiveLab) -> dict[Path, int]:
    """The mode of everything that the lab has on disk, links apart. It runs: what ends meanwhile is left out."""
    directory = lab.session.directory
    found = {path: path.lstat().st_mode for path in (directory.parent, directory, lab.session.sockets)}
    for path in below(directory):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.lstat().st_mode
    return {path: mode for path, mode in found.items() if not stat.S_ISLNK(mode)}


def test_no_secret_lies_open_in_the_state(lab: LiveLab) -> None:
    assert found_in(lab.run("pulumi", "stack", "export").stdout, planted(lab)) == []


def test_no_secret_is_in_a_log(first_up: FirstUp) -> None:
    secrets = first_up.secrets | planted(first_up.lab)
    logs = [path for path in below(first_up.lab.session.logs) if path.is_file()]
    assert logs
    assert {path.name: found for path in logs if (found := found_in(path.read_text(errors="replace"), secrets))} == {}


def test_nothing_in_the_lab_is_open_to_others(lab: LiveLab) -> None:
    assert [f"{stat.filemode(mode)} {path}" for path, mode in modes(lab).items() if mode & 0o007] == []


def test_what_a_group_may_read_holds_no_secret(lab: LiveLab) -> None:
    # kubectl opens its cache to the group on purpose; nothing else does.
    secrets = planted(lab)
    readable = [path for path, mode in modes(lab).items() if mode & 0o070 and stat.S_ISREG(mode)]
    assert [path for path in readable if found_in(path.read_text(errors="replace"), secrets)] == []


def test_what_a_program_is_given_on_its_command_line_is_seen() -> None:
    with command_lines() as seen:
        subprocess.run(["sh", "-c", "sleep 0.05", "a-planted-value"], check=True)
    assert any(found_in(" ".join(line), {"planted": "a-planted-value"}) for line in seen)


def test_no_secret_is_on_a_command_line_during_an_up(first_up: FirstUp) -> None:
    lines = first_up.command_lines
    expected = {"pulumi", "pulumi-resource-proxmoxve", "pulumi-resource-talos", "etcd", "kube-apiserver", "talosctl"}
    assert expected <= programs(lines)
    assert [line[0] for line in lines if found_in("\n".join(line), first_up.secrets)] == []
