"""Starts what stands in for a site: the simulated Proxmox VE and the simulated Talos nodes, sized by the settings.

Owns their configuration files and the order of the start. What they do is theirs: `lab/proxmox`, `lab/talos`. With an
edge in the settings, its host is started too (`lab/edge_host`).
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from components.storage.csi_volume_names import VolumeNames
from lab import flux, inventory, processes
from lab.configuration import API_TOKEN, EDGE_SSH_KEY, GIT_KEY, PASSWORD, PROXMOX, REHEARSED_DATASTORES
from lab.edge_host.host import NAME as EDGE_HOST
from lab.edge_host.host import EdgeHost
from lab.errors import LabError
from lab.git_server.server import NAME as GIT_SERVER
from lab.git_server.server import GitServer
from lab.programs import CONTROLLERS, Found
from lab.session import Session, write_private

if TYPE_CHECKING:
    from stacks.settings.model import Settings

NODES = "talos-nodes"

ROOT = "root@pam"

PRIVILEGES = (
    *("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"),
    *("Pool.Allocate", "Pool.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify", "VM.Allocate", "VM.Audit"),
    *("VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType"),
    *("VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.PowerMgmt", "Realm.AllocateUser"),
    *("User.Modify", "Permissions.Modify"),
)
"""Of a login that is not root's: those in docs/operations.md, and no more."""

CONTROL_PLANE_TOOLS = {
    "etcd": "etcd",
    "kubeApiserver": "kube-apiserver",
    "kubeControllerManager": "kube-controller-manager",
    "kubeScheduler": "kube-scheduler",
    "kwok": "kwok",
    "kubectl": "kubectl",
    "talosctl": "talosctl",
}
"""The simulator's name for each program that it starts."""


@dataclass(frozen=True)
class Hardware:
    """The simulated site of one lab."""

    session: Session
    settings: Settings
    factory: str
    """URL of the image factory that the simulator serves."""
    values: Mapping[str, str]
    """The lab's secrets by their path in the configuration."""
    datastores: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """What the simulated site's datastores are where the settings do not say (`lab.proxmox.settings.Datastore`)."""

    pods: Mapping[str, Any] = field(default_factory=dict)
    """What runs real pods on the nodes (`lab.pods.nodes.settings`); empty: kwok plays them."""

    def start(self, tools: Mapping[str, Found]) -> list[str]:
        """Start what does not run yet and wait until it answers. Tells what was started.

        Raises:
            LabError: if an address is taken, or a process does not come up.
        """
        started = []
        if not processes.running(self.session, NODES):
            self._refuse_if_taken(*self._factory_address())
            write_private(self.session.directory / "nodes.json", json.dumps(self._nodes_config(tools), indent=2))
            self.control(NODES).unlink(missing_ok=True)
            command = [str(tools["talos-nodes"].path), "--config", str(self.session.directory / "nodes.json")]
            processes.start(self.session, NODES, command)
            started.append(NODES)
        if not processes.running(self.session, PROXMOX):
            self._refuse_if_taken(*self.proxmox_address())
            write_private(self.session.directory / "proxmox.json", json.dumps(self._proxmox_config(), indent=2))
            self.control(PROXMOX).unlink(missing_ok=True)
            command = [sys.executable, "-m", "lab.proxmox", "--config", str(self.session.directory / "proxmox.json")]
            processes.start(self.session, PROXMOX, command)
            started.append(PROXMOX)
        host, port = self._factory_address()
        self._wait_for(NODES, host, port)
        self._wait_for(PROXMOX, *self.proxmox_address())
        if self.edge is not None and self.edge.start(tools):
            started.append(EDGE_HOST)
        if self.git is not None and self.git.start(tools):
            started.append(GIT_SERVER)
        if self.session.recall("inventory") is None:
            self.session.remember(inventory=sorted(inventory.take(self.control(PROXMOX))))
        return started

    def _wait_for(self, name: str, host: str, port: int) -> None:
        """Wait for a process's port and for its control socket, which may come later."""
        processes.wait_until(
            self.session,
            name,
            lambda: processes.listening(host, port) and self.control(name).exists(),
            f"{host}:{port}",
        )

    def left_over(self) -> list[str]:
        """What Proxmox and the edge host have now and did not have when the lab began, except what stays on purpose."""
        storage = self.settings.storage
        names = VolumeNames(self.settings.cluster.name)
        kept = names.owns if storage.on_destroy == "retain" else None
        left = sorted(inventory.take(self.control(PROXMOX), kept) - set(self.session.recall("inventory") or []))
        return left + (self.edge.left_over() if self.edge is not None else [])

    @property
    def edge(self) -> EdgeHost | None:
        """The edge host, if the settings have one."""
        edge, key = self.settings.edge, self.values.get(EDGE_SSH_KEY)
        return None if edge is None or key is None else EdgeHost(self.session, edge, key)

    @property
    def git(self) -> GitServer | None:
        """The Git server, if the settings hand applications over."""
        gitops, key = self.settings.gitops, self.values.get(GIT_KEY)
        if gitops is None or key is None:
            return None
        mirror = self.settings.charts.mirror
        return GitServer(self.session, gitops, key, Path(mirror) if mirror and "://" not in mirror else None)

    def healthy(self) -> bool:
        """Whether both simulators run."""
        return all(processes.running(self.session, name) for name in (NODES, PROXMOX))

    def proxmox_address(self) -> tuple[str, int]:
        """Host and port of the simulated Proxmox."""
        parts = urlsplit(self.settings.site.endpoint)
        return str(parts.hostname), parts.port or 8006

    @property
    def kubeconfig(self) -> Path:
        """The lab's own access to the cluster, there while it runs."""
        return self.session.state_of(NODES) / "kubernetes" / "pki" / "lab.kubeconfig"

    def control(self, name: str) -> Path:
        """The control socket of one of the two processes."""
        return self.session.sockets / f"{name}.sock"

    def _factory_address(self) -> tuple[str, int]:
        parts = urlsplit(self.factory)
        return str(parts.hostname), parts.port or 80

    def _nodes_config(self, tools: Mapping[str, Found]) -> dict[str, Any]:
        host, port = self._factory_address()
        return {
            "state": str(self.session.state_of(NODES)),
            "control": str(self.control(NODES)),
            "factory": f"{host}:{port}",
            "operators": [
                *(sys.executable, "-m", "lab.operators"),
                *(f"--real={repository}" for repository in self.pods.get("images", ())),
            ],
            "bootSeconds": 0.3,
            "installSeconds": 0.3,
            "rebootSeconds": 0.5,
            # Longer than the simulated Proxmox waits for an answer through another of its hosts.
            "imageSeconds": 2.0,
            "flux": self._flux_config(tools),
            "pods": dict(self.pods),
        } | {key: str(tools[tool].path) for key, tool in CONTROL_PLANE_TOOLS.items()}

    def _flux_config(self, tools: Mapping[str, Found]) -> dict[str, Any]:
        """What the lab installs in the Flux operator's place."""
        if self.settings.gitops is None:
            return {}
        controllers = {name: str(tools[tool].path) for name, tool in CONTROLLERS.items()}
        return {"objects": str(flux.objects()), "controllers": controllers}

    def _proxmox_config(self) -> dict[str, Any]:
        host, port = self.proxmox_address()
        site = self.settings.site
        tokens = {}
        login = site.username or ROOT
        if token := self.values.get(API_TOKEN):
            name, secret = token.split("=", 1)
            tokens[name] = secret
        return {
            "host": host,
            "port": port,
            "user": login,
            # With an API token nobody logs in by password; the simulator wants one all the same.
            "password": self.values.get(PASSWORD) or secrets.token_urlsafe(24),
            "privileges": PRIVILEGES if login != ROOT else (),
            "tokens": tokens,
            "stateDir": str(self.session.state_of(PROXMOX)),
            "control": str(self.control(PROXMOX)),
            "nodesControl": str(self.control(NODES)),
            "timeScale": 0.02,
            "nodes": {name: {"cores": each.cores, "memoryMiB": each.memory} for name, each in site.hosts.items()},
            "bridges": [site.bridge],
            "datastores": self._datastores(),
        }

    def _datastores(self) -> dict[str, dict[str, Any]]:
        """Every datastore that the settings name, with the content types that the program wants of it."""
        disks, images = "images,rootdir", "iso,vztmpl,backup,import,snippets"
        hosts = self.settings.site.hosts.values()
        for_disks = {host.disk_datastore for host in hosts} | {self.settings.storage.datastore}
        for_images = {host.image_datastore for host in hosts}
        shared = self.settings.site.shared_image_datastores
        named: dict[str, dict[str, Any]] = (
            {name: {"type": "zfspool", "content": disks} for name in for_disks - for_images}
            | {name: {"type": "dir", "content": images, "shared": name in shared} for name in for_images - for_disks}
            | {
                name: {"type": "dir", "content": f"{disks},{images}", "shared": name in shared}
                for name in for_images & for_disks
            }
        )
        if unknown := sorted(self.datastores.keys() - named.keys()):
            raise LabError(f"{REHEARSED_DATASTORES}.{unknown[0]}: no setting names this datastore; remove it")
        return {name: datastore | self.datastores.get(name, {}) for name, datastore in named.items()}

    def _refuse_if_taken(self, host: str, port: int) -> None:
        if processes.listening(host, port):
            raise LabError(
                f"{host}:{port} is in use by a process that is not this lab's, perhaps a lab in another directory: "
                "stop that one there (`make lab-down`), or give this one another name: LAB_ID=second"
            )
