"""The script that keeps Gitea and the seed at the same commit, with Git itself and a Gitea that only says yes.

`tests/servers/test_gitea.py` has it with a real Gitea, and the webhook too.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from checks.gitops.tree import GITOPS

SCRIPT = GITOPS / "gitea" / "hand-over" / "hand-over.sh"
CURL = """\
#!/bin/sh
case "$*" in *"@-"*) cat >/dev/null;; esac
case "$*" in *"--output"*) ;; *) printf '[]';; esac
"""
"""Everything that is asked for is there, and all that is sent is taken."""


def git(*command: str | Path) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    told = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *map(str, command)]
    return subprocess.run(told, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@dataclass(frozen=True)
class Sides:
    """Two repositories, and the script that brings the newest commits from one to the other."""

    directory: Path

    def repository(self, side: str) -> Path:
        return self.directory / f"{side}.git"

    def commit(self, text: str, *sides: str) -> None:
        """A commit on top of what the first of the sides has, pushed to each of them."""
        work = self.directory / f"work-{text}"
        git("clone", "--quiet", self.repository(sides[0]), work)
        (work / text).write_text(text)
        git("-C", work, "add", "--all")
        git("-C", work, "commit", "--quiet", "--message", text)
        for side in sides:
            git("-C", work, "push", "--quiet", self.repository(side), "HEAD:refs/heads/main")

    def head(self, side: str) -> str:
        return git("ls-remote", self.repository(side), "refs/heads/main").partition("\t")[0]

    def run(self) -> subprocess.CompletedProcess[str]:
        home = self.directory / "home"
        subprocess.run(["rm", "-rf", str(home)], check=True)
        home.mkdir()
        environment = {
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "HAND_OVER": str(self.directory / "told"),
            "ACCOUNT": str(self.directory / "account"),
        }
        return subprocess.run(
            ["bash", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    """The repository that Flux reads, `from`, and the other, `to`, both with one commit."""
    made = Sides(tmp_path)
    for side in ("from", "to"):
        git("init", "--quiet", "--bare", "--initial-branch=main", made.repository(side))
    told = {
        "own": "http://gitea-http.gitea.svc:3000/platform/homelab",
        "address": "http://gitea-http.gitea.svc:3000",
        "owner": "platform",
        "name": "homelab",
        "branch": "main",
        "webhook-url": "http://webhook-receiver.flux-system.svc/hook/1",
        "webhook-token": "token",
        **{side: str(made.repository(side)) for side in ("from", "to")},
    }
    for folder, files in (("told", told), ("account", {"username": "platform", "password": "p"})):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin" / "curl"
    curl.write_text(CURL)
    curl.chmod(0o755)
    made.commit("first", "from", "to")
    return made


def test_the_other_side_follows(sides: Sides) -> None:
    sides.commit("second", "from")
    done = sides.run()
    assert done.returncode == 0, done.stderr
    assert sides.head("to") == sides.head("from")


def test_what_one_side_has_alone_is_never_overwritten(sides: Sides) -> None:
    """Whose commits those are, nobody but a person can say."""
    sides.commit("here", "from")
    sides.commit("there", "to")
    before = sides.head("to")
    done = sides.run()
    assert done.returncode != 0
    assert sides.head("to") == before


def test_an_empty_repository_is_filled_from_the_other(sides: Sides) -> None:
    git("-C", sides.repository("from"), "update-ref", "-d", "refs/heads/main")
    done = sides.run()
    assert done.returncode == 0, done.stderr
    assert sides.head("from") == sides.head("to")
