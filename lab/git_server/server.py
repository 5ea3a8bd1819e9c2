"""The Git host of a lab: it serves what the checkout holds, committed or not, as the seed of the applications.

Owns its keys, its configuration and the content of the repository. In place of the cluster's own Gitea it also serves
repositories over HTTP, of which a lab begins with none.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lab import processes
from lab.edge_host.host import new_key, public_key
from lab.errors import LabError
from lab.programs import Found
from lab.session import CHECKOUT, Session, write_private

if TYPE_CHECKING:
    from stacks.settings.model import Gitops

NAME: Final = "git-server"

SEED: Final = "ssh://git@127.20.0.13:2223/homelab.git"
OWN: Final = "http://127.20.0.13:3000/homelab/homelab.git"
CHARTS: Final = "http://127.20.0.13:3000/charts"
"""Where the lab serves repositories and charts; another second octet with another LAB_ID."""

SERVED: Final = ("gitops", "charts")
"""The folders of the checkout that are in the repository: what Flux reads, and the charts that it takes from there."""


def host_key(session: Session) -> str:
    """The public host key; the pair is made once for a lab."""
    path = _host_key_file(session)
    if not path.exists():
        write_private(path, new_key())
    return public_key(path.read_text())


@dataclass(frozen=True)
class GitServer:
    """The server of one lab.

    key: the private key with which the cluster reads; what is shown to it is its public half.
    charts: the directory of chart archives, or None where charts come from a URL.
    """

    session: Session
    gitops: Gitops
    key: str
    charts: Path | None

    def start(self, tools: Mapping[str, Found]) -> bool:
        """Put the checkout's files into the repository, and start the server unless it runs. Tells whether it started.

        Raises:
            LabError: if an address is taken, git is missing, or the server does not come up.
        """
        self.publish()
        if processes.running(self.session, NAME):
            return False
        over_ssh, over_http = self._addresses()
        for host, port in (over_ssh, over_http):
            if processes.listening(host, port):
                raise LabError(
                    f"{host}:{port} is in use by a process that is not this lab's: end it, or use another LAB_ID"
                )
        config = self.session.directory / f"{NAME}.json"
        content = {
            "ssh": "{}:{}".format(*over_ssh),
            "http": "{}:{}".format(*over_http),
            "user": urlsplit(self.gitops.seed).username,
            "authorizedKey": public_key(self.key),
            "hostKey": str(_host_key_file(self.session)),
            "seed": str(self.seed),
            "own": str(self.own),
            "charts": str(self.charts or self.session.charts),
        }
        write_private(config, json.dumps(content, indent=2))
        processes.start(self.session, NAME, [str(tools[NAME].path), "--config", str(config)])
        for place in (over_http, over_ssh):
            processes.wait_until(
                self.session, NAME, functools.partial(processes.listening, *place), "{}:{}".format(*place)
            )
        return True

    @property
    def seed(self) -> Path:
        """The directory of the repositories that are served over SSH."""
        return self.session.state_of(NAME) / "seed"

    @property
    def own(self) -> Path:
        """The directory of the repositories that are served over HTTP."""
        return self.session.state_of(NAME) / "own"

    @property
    def repository(self) -> Path:
        """The bare repository of the seed."""
        return self.seed / urlsplit(self.gitops.seed).path.lstrip("/")

    def publish(self) -> str:
        """Commit the checkout's files to the branch that is deployed, if they differ. Gives the branch's commit.

        Raises:
            LabError: if git is missing, or refuses.
        """
        repository = self.repository
        if not repository.exists():
            repository.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.own.mkdir(parents=True, exist_ok=True, mode=0o700)
            _git("init", "--quiet", "--bare", f"--initial-branch={self.gitops.branch}", str(repository))
            _git("-C", str(repository), "config", "http.receivepack", "true")
        environment = {
            "GIT_DIR": str(repository),
            "GIT_WORK_TREE": str(CHECKOUT),
            "GIT_INDEX_FILE": str(self.session.state_of(NAME) / "index"),
        }
        branch = f"refs/heads/{self.gitops.branch}"
        _git("-c", "core.bare=false", "add", "--all", "--", *SERVED, **environment)
        tree = _git("write-tree", **environment)
        head = _git("for-each-ref", "--format=%(objectname)", branch, **environment)
        if head and _git("rev-parse", f"{head}^{{tree}}", **environment) == tree:
            return head
        parents = ["-p", head] if head else []
        commit = _git("commit-tree", tree, *parents, "-m", "The files of the checkout", **environment)
        _git("update-ref", branch, commit, **environment)
        return commit

    def _addresses(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Host and port of SSH and of HTTP."""
        seed, own = urlsplit(self.gitops.seed), urlsplit(self.gitops.own)
        return (str(seed.hostname), seed.port or 22), (str(own.hostname), own.port or 80)


def _git(*arguments: str, **environment: str) -> str:
    """Run git, without anybody's own configuration, and give what it says."""
    if shutil.which("git") is None:
        raise LabError("git is missing, and the lab serves a repository with it. Install it: apt-get install git")
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in {"NAME": "lab", "EMAIL": "lab@lab.invalid"}.items()
    }
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", *arguments]
    done = subprocess.run(
        command,
        env=plain | who | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"} | environment,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"{' '.join(command[:4])}: {done.stderr.strip()}")
    return done.stdout.strip()


def _host_key_file(session: Session) -> Path:
    return session.directory / "git-host-key"
