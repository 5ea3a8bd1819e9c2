"""A Git repository of a test's own, and the lab's Git server for it, read over SSH with a deploy key."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks.graph import Graph, reveal
from components.gitops.hand_over import DeployKey
from lab.edge_host.host import new_key, public_key
from lab.programs import ensure

KUSTOMIZATION, SOURCE = "kustomize.toolkit.fluxcd.io/v1", "source.toolkit.fluxcd.io/v1"
_SOURCE = f"kubernetes:{SOURCE}:GitRepository applications-source"
_ROOT = f"kubernetes:{KUSTOMIZATION}:Kustomization applications"


@dataclass(frozen=True)
class GitSource:
    """How the server is started, and how its repository is read."""

    command: list[str]
    key: DeployKey


def prepare(directory: Path, files: Mapping[str, Any], host: str, ssh: int, http: int) -> GitSource:
    """Make a repository of YAML files, by their paths, and write the configuration of a server for it.

    files: what is directly below gitops/ is listed in its kustomization.yaml. ssh, http: free ports of that address.
    """
    key, host_key = new_key(), directory / "host-key"
    host_key.write_text(new_key())
    work, seed = directory / "work", directory / "seed"
    root = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    listed = sorted(name.removeprefix("gitops/") for name in files if name.count("/") == 1)
    for name, content in {**files, "gitops/kustomization.yaml": root | {"resources": listed}}.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    who = {f"GIT_{role}_{part}": "test@lab.invalid" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    for command in (
        ("init", "--quiet", "--initial-branch=main", str(work)),
        ("-C", str(work), "add", "--all"),
        ("-C", str(work), "commit", "--quiet", "-m", "the first"),
        ("clone", "--quiet", "--bare", str(work), str(seed / "homelab.git")),
    ):
        subprocess.run(["git", *command], check=True, env=os.environ | who)
    config = {
        "ssh": f"{host}:{ssh}",
        "http": f"{host}:{http}",
        "user": "git",
        "authorizedKey": public_key(key),
        "hostKey": str(host_key),
        "seed": str(seed),
        "own": str(seed),
        "charts": str(seed),
    }
    (directory / "git.json").write_text(json.dumps(config))
    binary = ensure(["git-server"])["git-server"].path
    url = f"ssh://git@{host}:{ssh}/homelab.git"
    return GitSource(
        [str(binary), "--config", str(directory / "git.json")],
        DeployKey(url=url, private_key=key, host_key=public_key(host_key.read_text())),
    )


def handed_over(graph: Graph, key: DeployKey) -> list[dict[str, Any]]:
    """What the program hands over to Flux, for another repository."""
    secret = dict(reveal(graph["kubernetes:core/v1:Secret applications-key"].inputs))
    content = {"identity": str(key.private_key), "known_hosts": key.known_hosts}
    assert secret["data"].keys() == content.keys()
    secret["data"] = {name: base64.b64encode(text.encode()).decode() for name, text in content.items()}
    settings = reveal(graph["kubernetes:core/v1:ConfigMap applications-settings"].inputs)
    source = reveal(graph[_SOURCE].inputs)
    root = reveal(graph[_ROOT].inputs)
    return [secret, settings, source | {"spec": source["spec"] | {"url": key.url}}, root]
