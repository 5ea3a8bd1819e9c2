"""A lab of the tests' own: brought up by `make lab`'s code, changed through its configuration and its simulators."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.proxmox.api import ProxmoxApi
from lab import processes
from lab.configuration import PROXMOX
from lab.hardware import NODES
from lab.session import ROOT as LABS
from lab.session import Session

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = Path(__file__).with_name("cluster_program.py")
"""The program of the layers up to storage, for tests of what happens to machines."""
MAIN = ROOT / "__main__.py"
Change = Callable[[dict[str, Any]], None]

VMS = {"controlplane-0": 1001, "controlplane-1": 1002, "controlplane-2": 1003, "worker-0": 2001, "worker-1": 2002}
"""Every node of the lab's settings, in the order in which they are made, with its VM's id."""

STATE_AT_THE_END = {"PULUMI_SKIP_CHECKPOINTS": "true"}
"""Has the engine write the state once and not around each of some 500 operations, which is half of what an `up` costs.
An operation that is to be killed writes each step, as a user's does."""


class LiveLab:
    """One lab, by its name; `LAB_ID` keeps it apart from a user's. `up` and `destroy` run `main` in it."""

    def __init__(self, name: str, main: Path = MAIN) -> None:
        own = os.environ.get("LAB_ID")
        self.session = Session(f"{name}-{own}" if own else name, "lab")
        self.main = main
        self.environment = self.session.environment()

    def command(self, name: str, timeout: float = 1200, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m lab <name>` as the Makefile does, with its variables; output of both streams in `stdout`."""
        environment = os.environ | STATE_AT_THE_END | variables | {"LAB_ID": self.session.name}
        return completed([sys.executable, "-m", "lab", name], environment, timeout)

    @property
    def program(self) -> Path:
        """The program's directory: the checkout's, or one with links to all of it but another `__main__.py`."""
        if self.main == MAIN:
            return ROOT
        directory = self.session.directory / "program"
        if not directory.exists():
            directory.mkdir()
            for entry in ROOT.iterdir():
                if entry.name not in (MAIN.name, LABS.name):
                    (directory / entry.name).symlink_to(entry)
            (directory / MAIN.name).symlink_to(self.main)
        return directory

    def begin(self) -> subprocess.CompletedProcess[str]:
        """The first `up` of the lab's program, at a site on which nothing was ever brought up."""
        self.command("down")
        prepared = self.prepare()
        if prepared.returncode:
            return prepared
        result = self.up()
        # Takes the credentials of the new cluster.
        return result if result.returncode else self.prepare()

    def _entering(self) -> list[str]:
        """What puts a program to where it reaches the lab: nothing, as the lab's addresses are this machine's."""
        return []

    def prepare(self) -> subprocess.CompletedProcess[str]:
        """Start what of the lab does not run, and take the credentials of its cluster."""
        return self.command("shell", CMD="true")

    def drop(self) -> None:
        """End the lab in whatever condition it is, without a destroy."""
        processes.stop_all(self.session)
        self.session.remove()

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a program in the lab's environment; output of both streams in `stdout`.

        Raises:
            AssertionError: with the output, and what the cluster has not finished, if it does not end in time.
        """
        return self._completed_in_time(arguments, timeout, {})

    def _completed_in_time(
        self, arguments: Sequence[str], timeout: float, variables: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        try:
            return completed([*self._entering(), *arguments], self.environment | variables, timeout, self.program)
        except subprocess.TimeoutExpired as expired:
            raise AssertionError(f"{expired}\n{_text(expired.output)}\n{self._unfinished()}") from None

    def _unfinished(self) -> str:
        """What is being deleted or is not ready in the lab's cluster, as far as its API still answers."""
        asked = (
            ("get", "events", "-A", "--sort-by=.lastTimestamp"),
            ("get", "nodes"),
            ("get", "pods,pvc,deployments,statefulsets,jobs", "-A", "-o", "wide"),
            ("get", "namespaces,pv,crds", "-o", "jsonpath={.items[?(@.metadata.deletionTimestamp)]}"),
        )
        answers = []
        for arguments in asked:
            try:
                answers.append(
                    completed(
                        [*self._entering(), "kubectl", *arguments, "--request-timeout=20s"], self.environment, 30
                    ).stdout
                )
            except subprocess.TimeoutExpired as expired:
                answers.append(str(expired))
        return "\n".join(answers)

    def up(self, *more: str) -> subprocess.CompletedProcess[str]:
        """`pulumi up` as a user types it."""
        options = ("--yes", "--skip-preview", "--non-interactive")
        return self._completed_in_time(["pulumi", "up", *options, *more], 900, STATE_AT_THE_END)

    def destroy(self, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """`pulumi destroy` as a user types it."""
        options = ("--yes", "--skip-preview", "--non-interactive")
        return self._completed_in_time(["pulumi", "destroy", *options], timeout, STATE_AT_THE_END)

    def up_killed_after(self, seconds: float) -> None:
        """`pulumi up` that dies by SIGKILL with everything that it started."""
        with self._doomed():
            time.sleep(seconds)

    def up_killed_once(self, holds: Callable[[], bool], timeout: float = 360) -> None:
        """`pulumi up` that dies so as soon as `holds` says so.

        Raises:
            TimeoutError: if it never does.
        """
        deadline = time.monotonic() + timeout
        with self._doomed():
            while not holds():
                if time.monotonic() > deadline:
                    raise TimeoutError("nothing killed the up")
                time.sleep(0.05)

    def up_killed_at(self, *listing: str, timeout: float = 360) -> None:
        """`pulumi up` that dies so as soon as `kubectl get <listing>`, of which nothing is there, has something.

        Raises:
            TimeoutError: if it never has.
        """
        with subprocess.Popen(
            ["kubectl", "get", *listing, "--watch", "--output", "name"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        ) as watch:
            assert watch.stdout is not None
            try:
                with self._doomed():
                    seen, _, _ = select.select([watch.stdout], [], [], timeout)
            finally:
                watch.kill()
        if not seen:
            raise TimeoutError(f"kubectl get {' '.join(listing)} showed nothing")

    def destroy_killed_at(self, method: str, end: str) -> None:
        """`pulumi destroy` that dies so as soon as Proxmox has answered a request of that method whose path ends so.

        Raises:
            TimeoutError: if none arrives.
        """
        since = self.last_request()
        with self._doomed("destroy"):
            self.wait_for_request(method, end, since, timeout=300)

    @contextlib.contextmanager
    def _doomed(self, operation: str = "up") -> Iterator[None]:
        process = subprocess.Popen(
            ["pulumi", operation, "--yes", "--skip-preview", "--non-interactive"],
            cwd=self.program,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            umask=0o077,
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def recover(self) -> subprocess.CompletedProcess[str]:
        """`pulumi cancel`, and `make recover`, as a user types them after an `up` that was killed."""
        self.run("pulumi", "cancel", "--yes")
        return self.run(sys.executable, "-m", "stacks.commands.recover", "--stack", self.session.stack)

    def state(self) -> dict[str, dict[str, Any]]:
        """Resources in the stack's state by URN."""
        deployment = json.loads(self.run("pulumi", "stack", "export").stdout)["deployment"]
        return {resource["urn"]: resource for resource in deployment.get("resources") or []}

    def pending(self) -> dict[str, str]:
        """What the state says was begun and not ended, by URN."""
        deployment = json.loads(self.run("pulumi", "stack", "export").stdout)["deployment"]
        operations = deployment.get("pending_operations") or []
        return {operation["resource"]["urn"]: operation["type"] for operation in operations}

    @contextlib.contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        """The stack's configuration with `change` made to its settings (keys without `homelab:`)."""
        before = self.session.config.read_text()
        content = yaml.safe_load(before)
        settings = {key.removeprefix("homelab:"): value for key, value in content["config"].items()}
        change(settings)
        known = {key.removeprefix("homelab:") for key in content["config"]}
        kept = {key: key.removeprefix("homelab:") for key in content["config"]}
        content["config"] = {key: settings[name] for key, name in kept.items() if name in settings} | {
            f"homelab:{key}": value for key, value in settings.items() if key not in known
        }
        self.session.config.write_text(yaml.safe_dump(content, sort_keys=False))
        try:
            yield
        finally:
            self.session.config.write_text(before)

    def proxmox(self, method: str, path: str, body: object = None) -> Any:
        """A request to the simulated Proxmox's control socket."""
        return _request(self.session.sockets / f"{PROXMOX}.sock", method, path, body)

    def nodes(self, method: str, path: str, body: object = None) -> Any:
        """A request to the node simulator's control socket."""
        return _request(self.session.sockets / f"{NODES}.sock", method, path, body)

    def proxmox_api(self) -> ProxmoxApi:
        """A client of the simulated Proxmox's API, logged in as the site's administrator."""
        settings = yaml.safe_load(self.session.config.read_text())["config"]["homelab:site"]
        api = ProxmoxApi(settings["endpoint"], insecure=True)
        api.log_in(settings["username"], self.run("pulumi", "config", "get", "homelab:proxmoxPassword").stdout.strip())
        return api

    def operators(self) -> str:
        """The end of what the lab's operators printed: why they do nothing."""
        return (self.session.state_of(NODES) / "kubernetes" / "operators.log").read_text()[-2000:]

    def driver_token(self) -> tuple[str, str]:
        """The Proxmox endpoint and the API token that the storage driver reads from its Secret."""
        asked = ("-n", "csi-proxmox", "get", "secret", "proxmox-csi-config", "-o", "json")
        secret = json.loads(self.run("kubectl", *asked).stdout)
        [cluster] = json.loads(b64decode(secret["data"]["config.yaml"]))["clusters"]
        return cluster["url"].removesuffix("/api2/json"), f"{cluster['token_id']}={cluster['token_secret']}"

    def driver_api(self) -> ProxmoxApi:
        """A client of the simulated Proxmox's API with the storage driver's rights."""
        endpoint, token = self.driver_token()
        api = ProxmoxApi(endpoint, insecure=True)
        api.use_token(token)
        return api

    def remove_foreign_vm(self, vm_id: int, host: str) -> None:
        """Take a planted VM away again, as its owner would."""
        api = self.proxmox_api()
        api.post(f"/nodes/{host}/qemu/{vm_id}/status/stop")
        api.delete(f"/nodes/{host}/qemu/{vm_id}")

    @contextlib.contextmanager
    def failing(self, *faults: Mapping[str, Any]) -> Iterator[None]:
        """The simulated Proxmox with these faults (`lab.proxmox.faults.Fault`); afterwards it has none."""
        for fault in faults:
            self.proxmox("POST", "/faults", fault)
        try:
            yield
        finally:
            self.proxmox("DELETE", "/faults")

    def last_request(self) -> int:
        """Number of the newest request to the simulated Proxmox."""
        return int(self.proxmox("GET", "/requests")["last"])

    def wait_for_request(self, method: str, end: str, since: int, timeout: float = 180) -> None:
        """Until the simulated Proxmox has answered a request of that method whose path ends so.

        Raises:
            TimeoutError: if none arrives.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            seen = self.proxmox("GET", f"/requests?since={since}")["requests"]
            if any(request["method"] == method and request["path"].endswith(end) for request in seen):
                return
            time.sleep(0.05)
        raise TimeoutError(f"no {method} of {end} arrived")

    def vms(self) -> dict[int, dict[str, Any]]:
        """The simulated Proxmox's VMs by id."""
        return {vm["vmid"]: vm for vm in self.proxmox("GET", "/state")["vms"]}


def one_more_worker(number: int) -> Change:
    """The change that adds worker-<number>, VM 200<number>, with worker-1's size on another host."""

    def add(settings: dict[str, Any]) -> None:
        worker = settings["nodes"]["worker-1"]
        address = f"{worker['address'].rsplit('.', 1)[0]}.{number}"
        identity = {"address": address, "vmId": 2000 + number, "mac": f"BC:24:11:00:20:0{number}", "host": "pve3"}
        settings["nodes"][f"worker-{number}"] = worker | identity

    return add


def completed(
    arguments: Sequence[str], environment: Mapping[str, str], timeout: float, directory: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Run a command as in the lab's shell; output of both streams in `stdout`."""
    return subprocess.run(
        arguments,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
        # As in the lab's shell.
        umask=0o077,
    )


def _text(output: str | bytes | None) -> str:
    # TimeoutExpired has bytes even where text was asked for: https://github.com/python/cpython/issues/87597
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _request(path: Path, method: str, target: str, body: object) -> Any:
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    payload = None if body is None else json.dumps(body)
    connection.request(method, target, payload, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status >= 400:
        raise AssertionError(f"{method} {target}: {response.status} {content.decode()}")
    return json.loads(content) if content else None
