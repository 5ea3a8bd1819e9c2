"""A cluster whose workers run real pods, seen from outside of the namespaces that it is in."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import debian, programs
from lab.errors import LabError
from lab.pods import images, nodes
from tests.conftest import ROOT

PATIENCE = 120.0
"""Seconds that anything may take; on a machine that does nothing else it takes a few."""


@dataclass(frozen=True)
class PodsCluster:
    """The cluster, by the process that is number 1 in its namespaces."""

    directory: Path
    first: int
    group: str
    log: Path

    def inside(self, *command: str, given: str | None = None, check: bool = True) -> str:
        """What a program prints that runs on the nodes' machine.

        Raises:
            AssertionError: if it fails, with what it said.
        """
        entering = ["nsenter", "-t", str(self.first), "-p", "-n", "-m", "-i", "-u", *command]
        environment = os.environ | {"KUBECONFIG": str(self.directory / "kubeconfig")}
        done = subprocess.run(entering, input=given or "", env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """Output of kubectl as the cluster's administrator."""
        return self.inside(str(programs.ensure(["kubectl"])["kubectl"].path), *arguments, given=given, check=check)

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them."""
        return dict(json.loads(self.kubectl("get", *arguments, "-o", "json")))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Makes the objects, or changes them."""
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))

    def until(self, what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Waits until something holds; gives the seconds that it took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() < began + seconds, f"{what}: not within {seconds:.0f} s\n{self._state()}"
            time.sleep(0.3)
        return time.monotonic() - began

    def _state(self) -> str:
        pods = self.kubectl("get", "pods", "-A", "-o", "wide", check=False)
        events = self.kubectl("get", "events", "-A", "--field-selector=type=Warning", check=False)
        logs = self.kubectl("logs", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--tail=5", check=False)
        return "\n".join((pods, events[-4000:], logs))


@contextlib.contextmanager
def cluster_with_pods() -> Iterator[PodsCluster]:
    """A cluster of a control plane and two workers, until the end of the block.

    Raises:
        AssertionError: if it does not come up.
    """
    try:
        nodes.refuse_without_root()
    except LabError as refused:
        if os.geteuid() == 0:
            raise
        pytest.skip(str(refused))
    debian.ensure(nodes.SYSTEM)
    programs.ensure((*programs.LAB, *programs.PODS))
    # Of a short name: a kubelet listens on sockets far below it, and a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pods-", ignore_cleanup_errors=True) as directory:
        yield from _running(Path(directory))


def _running(directory: Path) -> Iterator[PodsCluster]:
    group, log = nodes.group(), directory / "inside.log"
    served = {repository: str(place) for repository, place in images.make().items()}
    (directory / "images.json").write_text(json.dumps(served))
    command = nodes.entering(group, [sys.executable, "-m", "tests.lab.pods_inside", str(directory), group])
    with log.open("wb") as output:
        running = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output)
    try:
        began = time.monotonic()
        while not (directory / "ready").exists():
            nodes_log = directory / "nodes.log"
            said = log.read_text()[-3000:] + (nodes_log.read_text()[-2000:] if nodes_log.exists() else "")
            assert running.poll() is None, said
            assert time.monotonic() < began + 2 * PATIENCE, said
            time.sleep(0.2)
        yield PodsCluster(directory, _child(running.pid), group, log)
    finally:
        running.kill()
        running.wait()


def _child(pid: int) -> int:
    """The one child of a process: the first process of the namespaces that it made."""
    return int(subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True).stdout)
