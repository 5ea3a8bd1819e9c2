"""A cluster whose workers run real pods, seen from outside of the namespaces that it is in."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import debian, programs
from lab.errors import LabError
from lab.pods import images, nodes
from tests.conftest import ROOT
from tests.lab.talos_site import stretch

PATIENCE = 360.0
"""Seconds that anything may take where no process waits for a core. With nothing else to do, it takes a few."""


_UNANSWERED = ("Unable to connect to the server", "connection lost", "connection refused")
"""Words of kubectl for a server that does not answer."""


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
        done = subprocess.run(
            self._entering(command),
            cwd=ROOT,
            input=given or "",
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A program on the nodes' machine that ends when its input does: at the end of the block, if not before."""
        entering = self._entering(command)
        pipe, environment = subprocess.PIPE, self._environment()
        entered = subprocess.Popen(entering, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        try:
            yield entered
        finally:
            if entered.stdin is not None and not entered.stdin.closed:
                entered.communicate()

    def _entering(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.first), "-p", "-n", "-m", "-i", "-u", "--wd=.", *command]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"KUBECONFIG": str(self.directory / "kubeconfig")}

    def kubectl(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """Output of kubectl as the cluster's administrator."""
        return self.inside(_kubectl(), *arguments, given=given, check=check)

    @contextlib.contextmanager
    def watching(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`kubectl get --watch`, as `started` runs a program."""
        with self.until_input_ends(_kubectl(), "get", "--watch", *arguments) as running:
            yield running

    @contextlib.contextmanager
    def until_input_ends(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """As `started`, a program that would not end with its input."""
        with self.started("sh", "-c", '"$@" & cat; kill $!', "sh", *command) as running:
            yield running

    def get(self, *arguments: str) -> dict[str, Any]:
        """An object, or a list of them."""
        return dict(json.loads(self.kubectl("get", *arguments, "-o", "json")))

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Makes the objects, or changes them."""
        self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))

    def define(self, *files: Path) -> None:
        """Makes the objects of files, or changes them: those too long for the annotation that `apply` leaves.

        They are not looked at before: an API server that has just got kinds takes long to tell what it knows of them,
        and on a busy machine it answers nobody meanwhile.
        """
        command = ("apply", "--server-side", "--validate=false", *(f"--filename={file}" for file in files))

        def applied() -> bool:
            try:
                self.kubectl(*command)
            except AssertionError as refused:
                if not any(words in str(refused) for words in _UNANSWERED):
                    raise
                return False
            return True

        self.until("objects that the API server takes", applied)

    def namespace(self, name: str) -> None:
        """Makes a namespace, if there is none of this name, and waits until pods may be made in it.

        One that is there keeps its labels.
        """
        if not self.kubectl("get", "namespace", name, "--ignore-not-found", "-o", "name"):
            self.kubectl("create", "namespace", name)
        account = ("get", "serviceaccount", "default", "-n", name, "--ignore-not-found", "-o", "name")
        self.until(f"the account of pods in {name}", lambda: self.kubectl(*account) != "")

    @contextlib.contextmanager
    def cordoned(self, node: str) -> Iterator[None]:
        """While a node takes no new pods."""
        self.kubectl("cordon", node)
        try:
            yield
        finally:
            self.kubectl("uncordon", node)

    def ready(self, namespace: str, selector: str, count: int) -> bool:
        """Whether so many pods are ready, by their own probes, and no others are there."""
        pods = self.get("pods", "-n", namespace, "-l", selector)["items"]
        conditions = [
            condition["status"]
            for pod in pods
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "Ready"
        ]
        return len(pods) == count and conditions == ["True"] * count

    def give_address(self, namespace: str, service: str, address: str) -> None:
        """Does as MetalLB, which is played: the Service has this address."""
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
        patch = ["patch", "service", service, "-n", namespace, "--subresource=status", "--type=merge"]
        self.kubectl(*patch, "-p", json.dumps(status))

    def until(self, what: str, holds: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Waits until something holds; gives the seconds that it took.

        seconds: the limit on a machine that has a core for each process; with less, it is longer in proportion.
        """
        return until(what, holds, self._state, seconds)

    def _state(self) -> str:
        pods = self.kubectl("get", "pods", "-A", "-o", "wide", check=False)
        events = self.kubectl("get", "events", "-A", "--field-selector=type=Warning", check=False)
        logs = self.kubectl("logs", "-n", "kube-system", "-l", "k8s-app=kube-dns", "--tail=5", check=False)
        return "\n".join((pods, events[-4000:], logs))


def refuse_without_root() -> None:
    """Leave tests out, by name, where the user may run no pods. Root sees what is missing.

    Raises:
        LabError: as root, on a machine that cannot run them.
    """
    try:
        nodes.refuse_without_root()
    except LabError as refused:
        if os.geteuid() == 0:
            raise
        pytest.skip(str(refused))
    debian.ensure(nodes.SYSTEM)


def _kubectl() -> str:
    return str(programs.ensure(["kubectl"])["kubectl"].path)


def until(what: str, holds: Callable[[], bool], state: Callable[[], str], seconds: float = PATIENCE) -> float:
    """Waits until something holds; gives the seconds that it took.

    seconds: see `PodsCluster.until`.

    Raises:
        AssertionError: if it does not hold in time, with the state of things.
    """
    began, limit = time.monotonic(), seconds
    while not holds():
        limit = max(limit, seconds * stretch())
        assert time.monotonic() < began + limit, f"{what}: not within {limit:.0f} s\n{state()}"
        time.sleep(0.3)
    return time.monotonic() - began


def storage_class(name: str) -> dict[str, Any]:
    """A class of a driver of which the lab does the work; its volumes are directories, usable on any node."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": "csi.driver.test",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }


@contextlib.contextmanager
def cluster_with_pods(wanted: Iterable[str] = (), *, workers: int = 1) -> Iterator[PodsCluster]:
    """A cluster of a control plane and some workers, w1 and so on, until the end of the block.

    wanted: the images that there are besides `images.BASE`, by their names there.

    Raises:
        AssertionError: if it does not come up.
    """
    refuse_without_root()
    programs.ensure((*programs.LAB, *programs.PODS))
    with coming_up(wanted, workers=workers) as begun:
        begun.until("ready", 2 * PATIENCE)
        yield PodsCluster(begun.directory, begun.first(), begun.group, begun.log)


@dataclass(frozen=True)
class Begun:
    """A cluster that comes up, by the process that made its namespaces."""

    directory: Path
    group: str
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        """What was said inside."""
        return self.directory / "inside.log"

    def first(self) -> int:
        """The first process of the namespaces, which is there once anything is said or written."""
        children = ["pgrep", "-P", str(self.process.pid)]
        return int(subprocess.run(children, capture_output=True, text=True, check=True).stdout)

    def until(self, file: str, seconds: float = PATIENCE) -> None:
        """Waits until a file is in the directory.

        Raises:
            AssertionError: if the cluster ends before, or takes too long.
        """

        def said() -> str:
            nodes_log = self.directory / "nodes.log"
            return self.log.read_text()[-3000:] + (nodes_log.read_text()[-2000:] if nodes_log.exists() else "")

        def there() -> bool:
            assert self.process.poll() is None, said()
            return (self.directory / file).exists()

        until(f"{file} of the cluster", there, said, seconds)


@contextlib.contextmanager
def coming_up(wanted: Iterable[str] = (), *, workers: int = 1) -> Iterator[Begun]:
    """The same from its first process on, and killed at the end of the block."""
    refuse_without_root()
    # Of a short name: the path of a socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="pods-", ignore_cleanup_errors=True) as name:
        directory, group = Path(name), nodes.group()
        served = {repository: str(place) for repository, place in images.make((*images.BASE, *wanted)).items()}
        (directory / "images.json").write_text(json.dumps(served))
        inside = [sys.executable, "-m", "tests.lab.pods_inside", str(directory), group, str(workers)]
        with (directory / "inside.log").open("wb") as output:
            running = subprocess.Popen(
                nodes.entering(group, inside), cwd=ROOT, stdin=subprocess.PIPE, stdout=output, stderr=output
            )
        try:
            yield Begun(directory, group, running)
        finally:
            running.kill()
            running.wait()
