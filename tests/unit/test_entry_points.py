"""Command lines in the state of platforms that exist: no change of this repository may break them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from components.edge import ssh
from components.kit.entry_point import EntryPoint
from program.__main__ import MODULES


def test_names_and_command_lines_never_change() -> None:
    # A destroy runs what the last `up` wrote into the state: with a name changed, it fails on every such platform.
    assert [point.command("retain") for point in EntryPoint] == [
        ".venv/bin/python -m program chart-definitions retain",
        ".venv/bin/python -m program csi-volumes retain",
        ".venv/bin/python -m program git-source retain",
        ".venv/bin/python -m program node-removal retain",
        ".venv/bin/python -m program vm retain",
        ".venv/bin/python -m program volume-zones retain",
    ]
    assert ssh.PACKAGE == "on_host"


@pytest.mark.parametrize("point", EntryPoint)
def test_every_name_leads_to_a_program(point: EntryPoint) -> None:
    assert list(signature(import_module(MODULES[point]).main).parameters)[1:] == ["environment"]


def test_what_the_public_host_is_sent_names_no_module_of_this_repository() -> None:
    for program in ("nginx", "powerdns", "headscale"):
        assert "components." not in ssh.text_of(program, "{}")


@pytest.mark.parametrize("arguments", [["csi-volume"], []], ids=["misspelt", "none"])
def test_an_unknown_name_is_refused_with_those_that_there_are(root: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "program", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "csi-volumes, git-source, node-removal, vm, volume-zones" in done.stderr
