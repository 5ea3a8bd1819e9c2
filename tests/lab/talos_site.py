"""Simulated Talos nodes for tests, without Proxmox and Pulumi: the test plays engine and Talos provider."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pulumi
import pytest
import yaml

from components.talos import images
from components.talos.api import TalosCredentials, TalosNode
from components.talos.hooks import Member, TalosChecks
from components.talos.secrets import ClientCredentials
from lab import programs
from lab.hardware import CONTROL_PLANE_TOOLS
from lab.programs import Found

SCHEMATIC = "a" * 64
NODES = {"cp1": (101, "1.1"), "cp2": (102, "1.2"), "cp3": (103, "1.3"), "w1": (201, "2.1")}
"""Every node by name: VM id and the end of its address. Those called cp are control planes."""


@dataclass(frozen=True)
class Hook:
    """Stands in for pulumi.ResourceHook, which registers itself with an engine."""

    name: str
    callback: Callable[[pulumi.ResourceHookArgs], Any]


@contextmanager
def brought_up(directory: Path, *, talos: str, kubernetes: str) -> Iterator[TalosSite]:
    """A cluster of these releases, with hooks that tests can call."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pulumi, "ResourceHook", Hook)
        made = TalosSite(directory, programs.ensure(programs.LAB), talos=talos, kubernetes=kubernetes)
        try:
            made.first_up()
            yield made
        finally:
            made.close()


class TalosSite:
    """Three control planes and a worker of one cluster, from their first boot on."""

    def __init__(
        self,
        directory: Path,
        tools: Mapping[str, Found],
        *,
        talos: str,
        kubernetes: str,
        prefix: str | None = None,
        nodes: Mapping[str, tuple[int, str]] = NODES,
        pods: Mapping[str, Any] | None = None,
    ) -> None:
        """prefix: the first half of all addresses; by default, loopback ones of this process's own."""
        self.directory = directory
        self.nodes = nodes
        self.talosctl = tools["talosctl"].path
        # Addresses of this process's own: several checkouts may run their tests at once.
        self._prefix = prefix or f"127.{200 + os.getpid() % 50}"
        self.addresses: dict[str, str] = {}
        self.patience = 60.0
        """Seconds that a hook waits for a node."""
        self.before: Callable[[str], None] = lambda _: None
        """Told by an `up` of each node before anything happens to it."""
        self._machines: dict[str, tuple[int, dict[str, Any]]] = {}
        self._control = directory / "control.sock"
        settings = {
            "state": str(directory / "state"),
            "control": str(self._control),
            "factory": f"{self._prefix}.0.11:8090",
            "bootSeconds": 0.2,
            "installSeconds": 0.2,
            "rebootSeconds": 0.5,
            "pods": pods or {},
        } | {key: str(tools[tool].path) for key, tool in CONTROL_PLANE_TOOLS.items()}
        (directory / "nodes.json").write_text(json.dumps(settings))
        with (directory / "nodes.log").open("wb") as log:
            self._process = subprocess.Popen(
                [tools["talos-nodes"].path, "--config", directory / "nodes.json"], stdout=log, stderr=log
            )
        self.until("the control socket", self._control.exists)
        for name, (vm_id, end) in nodes.items():
            self.boot(name, vm_id, end, talos)
        self._generate(kubernetes)
        self.recorded = {name: self._configuration(name, talos, kubernetes) for name in nodes}

    def close(self) -> None:
        """Ends the simulator and everything that it started."""
        self._process.terminate()
        self._process.wait(60)

    def control(self, method: str, path: str, body: object = None) -> Any:
        """A request to the simulator's control socket."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self._control))
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        content = response.read()
        assert response.status < 300, content
        return json.loads(content) if content else None

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """What happened at the site after an event."""
        return list(self.control("GET", f"/events?since={since}"))

    def last(self) -> int:
        """Number of the newest event."""
        return int(self.events()[-1]["seq"])

    def _power(self, name: str, *, on: bool) -> None:
        vm_id, machine = self._machines[name]
        self.control("PUT", f"/machines/{vm_id}", machine | {"on": on})

    @contextmanager
    def off(self, name: str) -> Iterator[None]:
        """While a machine is off."""
        self._power(name, on=False)
        try:
            yield
        finally:
            self._power(name, on=True)
            self.until(f"{name} ready again", lambda: self._ready(name))

    @contextmanager
    def silent(self, name: str) -> Iterator[None]:
        """While a node, which is on, answers nobody."""
        self._fault(name, "silent")
        try:
            yield
        finally:
            self._fault(name, "none")

    def _fault(self, name: str, kind: str) -> None:
        self.control("POST", "/faults", {"machine": NODES[name][0], "fault": kind})

    @contextmanager
    def without_etcd(self, *names: str) -> Iterator[None]:
        """While the etcd members of these nodes hear and say nothing; the rest of the nodes answers as always.

        The others take them for cut off. Where they are the majority, who is left finds neither leader nor quorum.
        """
        processes = [self._etcd(name) for name in names]
        try:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            self.until("their etcd to be unwell", lambda: not any(self._ready(name) for name in names))
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)
            self.until("all nodes ready again", lambda: all(self._ready(name) for name in self.addresses))

    def _etcd(self, name: str) -> int:
        """The process of a node's etcd member."""
        of_this_site = str(self.directory).encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                arguments = (process / "cmdline").read_bytes().split(b"\0")
                of_this_node = (b"--name", name.encode()) in pairwise(arguments)
                if of_this_node and any(of_this_site in argument for argument in arguments):
                    return int(process.name)
        raise AssertionError(f"no etcd of {name} runs")

    def _ready(self, name: str) -> bool:
        return any(each["name"] == name and each["ready"] for each in self.control("GET", "/machines"))

    def boot(self, name: str, vm_id: int, end: str, talos: str) -> None:
        """Starts a machine of the settings for the first time, with an image of this Talos."""
        self.addresses[name] = f"{self._prefix}.{end}"
        machine = {"name": name, "address": self.addresses[name], "mac": f"BC:24:11:00:00:{vm_id % 100:02}"}
        size = {"cores": 4, "memoryMiB": 8192, "diskBytes": 100 << 30, "host": "pve1"}
        image = {"image": f"factory/{SCHEMATIC}/talos-{talos}.qcow2"}
        self._machines[name] = vm_id, machine | size | image
        self._power(name, on=True)
        self.until(
            f"{name} in maintenance mode",
            lambda: {"name": name, "stage": "maintenance"}.items()
            <= next(each for each in self.control("GET", "/machines") if each["name"] == name).items(),
        )

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Output of kubectl as the cluster's administrator.

        Raises:
            subprocess.CalledProcessError: if it fails.
        """
        command = ["kubectl", "--kubeconfig", str(self.directory / "kubeconfig"), *arguments]
        path = f"{self.talosctl.parent}:{self._kubectl.parent}:{os.environ['PATH']}"
        return subprocess.run(
            command, input=text, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
        ).stdout

    def first_up(self) -> None:
        """Configures every node for the first time and makes a cluster of them."""
        for name in self.addresses:
            self._configure(name)
        (self.directory / "kubeconfig.tar.gz").write_bytes(asyncio.run(self._bootstrapped()))
        subprocess.run(["tar", "-xzf", "kubeconfig.tar.gz"], cwd=self.directory, check=True)
        self.until("all nodes ready", lambda: self.kubectl("get", "nodes").count(" Ready ") == len(self.nodes))

    def _configure(self, name: str) -> None:
        path = self.directory / f"{name}.yaml"
        path.write_text(self.recorded[name])
        self._talosctl("apply-config", "--insecure", "--nodes", self.addresses[name], "--file", str(path))

    async def _bootstrapped(self) -> bytes:
        checks = self.checks(*self._versions(self.recorded["cp1"]))
        await cast(Any, checks.before_kubeconfig()).callback(_arguments({}, {}))
        async with self._node("cp1") as node:
            return await node.kubeconfig()

    def up(self, *, talos: str, kubernetes: str, cni: str = "none") -> None:
        """Changes every node's configuration, or makes its first, with the hooks around it, in order, as an `up` does.

        cni: "none", or what no Talos accepts.

        Raises what a hook raises; what was recorded until then stays recorded.
        """
        asyncio.run(self._up(talos, kubernetes, cni))

    async def _up(self, talos: str, kubernetes: str, cni: str) -> None:
        checks = self.checks(talos, kubernetes)
        first, around = checks.around_first_configuration(), checks.around_configuration_update()
        for name, address in self.addresses.items():
            self.before(name)
            wanted = self._configuration(name, talos, kubernetes, cni)
            if name not in self.recorded:
                arguments = _arguments({"node": address, "machineConfigurationInput": wanted}, {})
                await cast(Any, first.before).callback(arguments)
                self.recorded[name] = wanted
                self._configure(name)
                await cast(Any, first.after).callback(arguments)
            if wanted == self.recorded[name]:
                continue
            arguments = _arguments(
                {"node": address, "machineConfigurationInput": wanted},
                {"node": address, "machineConfigurationInput": self.recorded[name]},
            )
            await cast(Any, around.before).callback(arguments)
            async with self._node(name) as node:
                await node.apply(wanted)
            self.recorded[name] = wanted
            await cast(Any, around.after).callback(arguments)

    def checks(self, talos: str, kubernetes: str) -> TalosChecks:
        """The program's checks for this cluster and these wanted releases."""
        client = [cast("pulumi.Output[str]", part) for part in self._client]
        return TalosChecks(
            members={
                name: Member(controlplane=name.startswith("cp"), address=IPv4Address(address))
                for name, address in self.addresses.items()
            },
            api_vip=IPv4Address(f"{self._prefix}.3.1"),
            client=ClientCredentials(*client),
            kubernetes_ca=cast("pulumi.Output[str]", self._kubernetes_ca),
            talos_version=talos,
            kubernetes_version=kubernetes,
            node_timeout=self.patience,
            api_timeout=60,
        )

    def _node(self, name: str) -> TalosNode:
        return TalosNode(self.addresses[name], TalosCredentials.decoded(*self._client))

    def _generate(self, kubernetes: str) -> None:
        vip = f"{self._prefix}.3.1"
        patches = [{"cluster": {"network": {"cni": {"name": "none"}}, "proxy": {"disabled": True}}}]
        sans = {"cluster": {"apiServer": {"certSANs": [vip, *self.addresses.values()]}}}
        layer2 = {"apiVersion": "v1alpha1", "kind": "Layer2VIPConfig", "name": vip, "link": "eth0"}
        self._talosctl(
            *("gen", "config", "lab", f"https://{vip}:6443", "--output-dir", str(self.directory)),
            *("--kubernetes-version", kubernetes.removeprefix("v"), "--with-docs=false", "--with-examples=false"),
            *[f"--config-patch={json.dumps(patch)}" for patch in patches],
            *[f"--config-patch-control-plane={json.dumps(patch)}" for patch in (sans, layer2)],
        )
        context = yaml.safe_load((self.directory / "talosconfig").read_text())["contexts"]["lab"]
        self._client = [context["ca"], context["crt"], context["key"]]
        generated = next(yaml.safe_load_all((self.directory / "controlplane.yaml").read_text()))
        self._kubernetes_ca = generated["cluster"]["ca"]["crt"]
        base64.b64decode(self._kubernetes_ca, validate=True)

    def _configuration(self, name: str, talos: str, kubernetes: str, cni: str = "none") -> str:
        role = "controlplane" if name.startswith("cp") else "worker"
        text = (self.directory / f"{role}.yaml").read_text()
        parts = [images.KUBELET, *(images.STATIC_PODS if role == "controlplane" else [])]
        for part in parts:
            text = images.replaced(text, part, images.image(text, part).rpartition(":")[0] + f":{kubernetes}")
        documents = list(yaml.safe_load_all(text))
        documents[0]["machine"]["install"]["image"] = f"factory.talos.dev/nocloud-installer/{SCHEMATIC}:{talos}"
        documents[0]["cluster"]["network"]["cni"]["name"] = cni
        documents = [each for each in documents if each.get("kind") != "HostnameConfig"]
        documents.append({"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off", "hostname": name})
        return yaml.safe_dump_all(documents, sort_keys=False)

    @staticmethod
    def _versions(configuration: str) -> tuple[str, str]:
        install = next(yaml.safe_load_all(configuration))["machine"]["install"]["image"]
        return install.rpartition(":")[2], images.version(images.image(configuration, images.KUBELET))

    @property
    def _kubectl(self) -> Path:
        return Path(json.loads((self.directory / "nodes.json").read_text())["kubectl"])

    def _talosctl(self, *arguments: str) -> None:
        subprocess.run([self.talosctl, *arguments], check=True, capture_output=True, text=True)

    def until(self, what: str, holds: Callable[[], bool], timeout: float = 270) -> None:
        """Waits until something holds, while the simulator runs.

        timeout: seconds on a machine that has a core for each process; with less, it is longer in proportion.
        """
        began, limit = time.monotonic(), timeout
        while not holds():
            limit = max(limit, timeout * stretch())
            log = (self.directory / "nodes.log").read_text()[-2000:]
            assert self._process.poll() is None, log
            assert time.monotonic() < began + limit, f"{what}: not within {limit:.0f} s\n{log}"
            time.sleep(0.2)


def stretch() -> float:
    """By how much everything takes longer at the moment: how many processes there are for each core, and at least 1."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def kinds(events: list[dict[str, Any]], *wanted: str) -> list[str]:
    """The kinds of those events that are of a wanted one, without configurations that were only tried."""
    real = [event for event in events if event["kind"] != "apply" or not event["detail"]["dryRun"]]
    return [event["kind"] for event in real if event["kind"] in wanted]


def touched(events: list[dict[str, Any]]) -> list[str]:
    """The kinds of the events that change a node."""
    return kinds(events, "apply", "upgrade", "reboot")


def _arguments(new: dict[str, Any], old: dict[str, Any]) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs("urn:test", "id", "name", "type", new_inputs=new, old_inputs=old)
