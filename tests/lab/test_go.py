"""The Go tests of the lab's own programs, with the tools of the lab. Go itself remembers which have passed."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from lab import golang, programs
from lab.plugins import selection

MODULES = sorted(
    path.parent for path in golang.LAB.rglob("go.mod") if next(path.parent.rglob("*_test.go"), None) is not None
)


@pytest.fixture(scope="module")
def tools() -> Path:
    """A directory that holds the lab's tools. Its name changes with them: Go takes a test's environment into account,
    so that a test which passed with other tools runs again.
    """
    found = programs.ensure(programs.LAB)
    key = hashlib.sha256("\n".join(str(tool.path) for tool in found.values()).encode()).hexdigest()[:8]
    directory = golang.cache() / f"bin-{key}"
    selection.fill(directory, found)
    return directory


def test_the_lab_has_go_modules_with_tests() -> None:
    assert [str(path.relative_to(golang.LAB)) for path in MODULES] == [
        "plugins/command_tls",
        "plugins/kubernetes",
        "plugins/proxmoxve",
        "ssh_hosts",
        "talos",
        "volumes",
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_the_go_tests_pass(module: Path, tools: Path) -> None:
    # The flags with which the lab's programs are built, so that nothing is compiled twice.
    flags = ("-mod=readonly", "-buildvcs=false", "-trimpath", f"-gcflags=all={golang.COMPILER_FLAGS}")
    environment = os.environ | {"LAB_BIN": str(tools), "CGO_ENABLED": "0", "GOWORK": "off"}
    result = subprocess.run(
        [golang.find_go(), "test", *flags, "./..."],
        cwd=module,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
