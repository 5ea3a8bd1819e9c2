"""`python -m tests.lab.pods_inside DIRECTORY GROUP WORKERS`: a cluster with real pods, in its own namespaces.

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
RELEASES = {"talos": "v1.13.9", "kubernetes": "v1.36.3"}


def main() -> None:
    """Bring the cluster up and hold it."""
    directory, group = Path(sys.argv[1]), sys.argv[2]
    workers = {f"w{number}": (200 + number, f"2.{number}") for number in range(1, 1 + int(sys.argv[3]))}
    machines = {"cp1": (101, "1.1"), **workers}
    served = directory / "images.json"
    network.hold([IPv4Address(f"{PREFIX}.{end}") for end in ("0.11", "3.1", *(end for _, end in machines.values()))])
    subprocess.Popen([sys.executable, "-m", "lab.pods.store", nodes.STORE, str(served)])
    tools = programs.ensure((*programs.LAB, *programs.PODS))
    settings = nodes.settings(tools, group, list(json.loads(served.read_text())))
    pulumi.ResourceHook = Hook  # type: ignore[assignment,misc]  # no engine runs here
    site = TalosSite(directory, tools, **RELEASES, prefix=PREFIX, nodes=machines, pods=settings)
    site.first_up()
    (directory / "ready").touch()
    sys.stdin.read()


if __name__ == "__main__":
    main()
