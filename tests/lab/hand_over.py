"""The hand-over in a lab, as a person uses it: commits to the repository that Flux reads, and what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from components.gitops.flux import NAMESPACE
from components.gitops.hand_over import REPOSITORY
from lab.git_server.server import NAME
from tests.lab.live import LiveLab

SECONDS = 270.0
"""By when a commit is deployed, on a machine that does much else."""


class Repository:
    """A clone of the lab's seed, of whose commits Flux is told as a Receiver would."""

    def __init__(self, lab: LiveLab, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        seed = lab.session.state_of(NAME) / "seed" / "homelab.git"
        git(directory.parent, "clone", "--quiet", str(seed), str(directory))
        self.first = git(directory, "rev-parse", "HEAD")

    def commit(self, files: dict[str, Any]) -> str:
        """Write these files (None removes one), list the applications among them, push, and tell Flux."""
        for name, content in files.items():
            path = self.directory / name
            if content is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(content))
        listed = sorted(path.name for path in (self.directory / "gitops").glob("*.yaml"))
        listed.remove("kustomization.yaml")
        root = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": listed}
        (self.directory / "gitops" / "kustomization.yaml").write_text(yaml.safe_dump(root))
        git(self.directory, "add", "--all")
        git(self.directory, "commit", "--quiet", "-m", "a change")
        return self.push("HEAD")

    def push(self, what: str) -> str:
        """Make the branch this commit, and tell Flux."""
        git(self.directory, "push", "--quiet", "--force", "origin", f"{what}:main")
        self.tell()
        return git(self.directory, "rev-parse", what)

    def tell(self) -> None:
        """Tell Flux of news, as its notification controller does for a Receiver."""
        asked = f"reconcile.fluxcd.io/requestedAt={time.time_ns()}"
        told = self.lab.run("kubectl", "-n", NAMESPACE, "annotate", "--overwrite", f"gitrepository/{REPOSITORY}", asked)
        assert told.returncode == 0, told.stdout


def git(directory: Path, *arguments: str) -> str:
    """Run git in a directory, without anybody's own configuration, and give what it says."""
    who = {f"GIT_{role}_{part}": "test@lab.invalid" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | who
    # Writes into the lab's directory, where nothing may be open to others.
    done = subprocess.run(
        ["git", *arguments], cwd=directory, env=environment, capture_output=True, text=True, check=False, umask=0o077
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def asked(lab: LiveLab, *arguments: str) -> Any:
    done = lab.run("kubectl", "get", *arguments, "-o", "json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def applications(lab: LiveLab) -> dict[str, dict[str, Any]]:
    """By the name of each Kustomization: its condition Ready, and the revision that was applied last."""
    found = {}
    for item in asked(lab, "kustomizations.kustomize.toolkit.fluxcd.io", "-A")["items"]:
        status = item.get("status", {})
        [ready] = [one for one in status.get("conditions", []) if one["type"] == "Ready"] or [{"status": "Unknown"}]
        found[item["metadata"]["name"]] = ready | {"revision": status.get("lastAppliedRevision", "")}
    return found


def until(holds: Callable[[], Any], seconds: float = SECONDS) -> float:
    """Seconds until something holds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() < began + seconds, f"not within {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - began


def applied(lab: LiveLab, commit: str, *names: str) -> bool:
    known = applications(lab)
    return all(
        name in known and known[name]["status"] == "True" and known[name]["revision"].endswith(commit) for name in names
    )
