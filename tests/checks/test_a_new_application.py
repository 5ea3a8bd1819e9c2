"""`docs/adding-an-app.md`, done word for word in a copy of the repository, up to the commit. A lab deploys it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab import programs
from tests.adding_an_app import NAME, author, copy_of_the_repository, perform
from tests.conftest import ROOT

pytestmark = pytest.mark.long

CACHE = ".mypy_cache"
OF_EVERY_APPLICATION = (
    "tests/checks/test_application_folders.py",
    "tests/checks/test_every_application.py",
    "tests/graph/test_applications.py",
    "tests/unit/kit/test_renovate.py",
    "tests/unit/test_parts_page.py",
    "tests/made/test_made.py",
)
"""What a pull request with another application has to pass, as far as it looks at each."""


@dataclass(frozen=True)
class Added:
    """The repository after the last step, and what each command said."""

    directory: Path
    origin: Path
    said: dict[str, subprocess.CompletedProcess[str]]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the repository; output of both streams in `stdout`."""
        return _run(self.directory, *command)


def _run(directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    found = programs.ensure((*programs.CHECKS, "kubectl"))
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PYTEST_", "MAKE"))}
    own = {
        "PATH": ":".join([*(str(one.path.parent) for one in found.values()), os.environ["PATH"]]),
        # The copy's Python is that of the tests, and as new as its list of packages.
        "MAKEFLAGS": "--old-file=.venv/.installed",
    }
    return subprocess.run(
        command,
        cwd=directory,
        env=plain | author() | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Added:
    """The page's steps, done; but `pulumi up`, which needs a site."""
    origin, directory = (tmp_path_factory.mktemp("added") / name for name in ("origin.git", "homelab"))
    directory.mkdir()
    copy_of_the_repository(directory)
    if (ROOT / CACHE).is_dir():
        shutil.copytree(ROOT / CACHE, directory / CACHE)
    for begin in (
        ("git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin)),
        ("git", "init", "--quiet", "--initial-branch=main"),
        ("git", "add", "--all", ":!.venv"),
        ("git", "commit", "--quiet", "-m", "Everything before"),
        ("git", "remote", "add", "origin", str(origin)),
        ("git", "push", "--quiet", "--set-upstream", "origin", "main"),
    ):
        begun = _run(directory, *begin)
        assert begun.returncode == 0, begun.stdout
    said = {}

    def run(line: str) -> None:
        if line != "pulumi up":
            said[line] = _run(directory, "sh", "-c", line)

    perform(directory, run)
    return Added(directory, origin, said)


def test_each_command_of_the_page_succeeds(added: Added) -> None:
    failed = {line: done.stdout for line, done in added.said.items() if done.returncode}
    assert failed == {}
    assert {line.split()[0] for line in added.said} == {"git", "kubectl", "make", ".venv/bin/python"}


def test_the_page_shows_what_flux_will_apply(added: Added) -> None:
    [shown] = [done.stdout for line, done in added.said.items() if line.startswith("kubectl")]
    assert f"host: {NAME}.${{domain}}" in shown


def test_the_checks_find_nothing_in_the_platform_with_it(added: Added) -> None:
    assert "checks: no findings by" in added.said["make check"].stdout


def test_its_commits_are_pushed_and_leave_nothing_behind(added: Added) -> None:
    pushed = _run(added.origin, "git", "rev-parse", "main").stdout
    assert pushed == added.run("git", "rev-parse", "HEAD").stdout
    assert added.run("git", "status", "--porcelain", "--", ".", ":!.venv").stdout == ""
    changed = added.run("git", "diff", "--name-only", "HEAD~2").stdout.split()
    assert {name for name in changed if name.startswith("gitops/")} == {
        "gitops/kustomization.yaml",
        *(f"gitops/{NAME}/{file}.yaml" for file in ("flux", "kustomization", "release")),
    }


def test_it_passes_what_every_application_has_to_pass(added: Added) -> None:
    passed = added.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OF_EVERY_APPLICATION)
    assert passed.returncode == 0, passed.stdout
