"""`python -m tests.lab.pods_inside DIRECTORY GROUP`: a cluster with real pods, in this process's own namespaces.

DIRECTORY/images.json says where the images are. It writes `ready` to DIRECTORY when all nodes
are ready, and stays until its standard input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pulumi

from lab import network, programs
from lab.pods import nodes
from tests.lab.talos_site import Hook, TalosSite

PREFIX = "10.77"
NODES = {"cp1": (101, "1.1"), "w1": (201, "2.1"), "w2": (202, "2.2")}
RELEASES = {"talos": "v1.13.9", "kubernetes": "v1.36.3"}


def main() -> None:
    """Bring the cluster up and hold it."""
    directory, group = Path(sys.argv[1]), sys.argv[2]
    served = directory / "images.json"
    network.hold([IPv4Address(f"{PREFIX}.{end}") for end in ("0.11", "3.1", *(end for _, end in NODES.values()))])
    subprocess.Popen([sys.executable, "-m", "lab.pods.store", nodes.STORE, str(served)])
    tools = programs.ensure((*programs.LAB, *programs.PODS))
    settings = nodes.settings(tools, group, list(json.loads(served.read_text())))
    pulumi.ResourceHook = Hook  # type: ignore[assignment,misc]  # no engine runs here
    site = TalosSite(directory, tools, **RELEASES, prefix=PREFIX, nodes=NODES, pods=settings)
    site.first_up()
    (directory / "ready").touch()
    sys.stdin.read()


if __name__ == "__main__":
    main()
