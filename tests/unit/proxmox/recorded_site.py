"""A Proxmox API of recorded answers: a healthy site of two hosts, of which a test changes what it is about.

The shapes are those of https://pve.proxmox.com/pve-docs/api-viewer/; what a rule does not read is left out.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import unquote

from components.proxmox.api import ProxmoxError
from components.proxmox.site import survey
from components.proxmox.site.answers import Answers
from components.proxmox.site.plan import PlannedAccount, PlannedAddresses, PlannedHost, PlannedSite
from components.proxmox.site.rights import VM_PRIVILEGES
from components.proxmox.vm_update import PlannedVm

TAG = "homelab-test"
HOSTS = ("pve1", "pve2")
ALL = (
    *VM_PRIVILEGES,
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.AllocateUser",
    "SDN.Use",
    "Sys.Audit",
    "Sys.Modify",
    "User.Modify",
)
ACCOUNT = PlannedAccount("test-csi", f"Proxmox CSI of {TAG}", ("VM.Audit",), ("/storage/volumes", f"/pool/{TAG}"))
VIP, BROADCAST = IPv4Address("198.51.100.31"), IPv4Address("198.51.100.255")


def vm(vm_id: int, host: str = "pve1") -> PlannedVm:
    return PlannedVm(vm_id, host, f"198.51.100.{vm_id - 2000}", "local-zfs", {"scsi0": 20})


_STORES = {"local": ("import",), "local-zfs": ("images",), "volumes": ("images",)}
PLAN = PlannedSite(
    tag=TAG,
    vms={"worker-0": vm(2001), "worker-1": vm(2002, "pve2")},
    hosts={host: PlannedHost(_STORES, cores=8, memory=32768) for host in HOSTS},
    reserved={9999: "is the storage driver's"},
    bridge="vmbr0",
    account=ACCOUNT,
    volumes="volumes",
    addresses=(PlannedAddresses("homelab:network.apiVip", VIP, VIP, (6443,)),),
    nobody=BROADCAST,
)


def planned(**changes: Any) -> PlannedSite:
    return replace(PLAN, **changes)


def _host(name: str) -> dict[str, Any]:
    stores = [("local", "dir", "iso,import"), ("local-zfs", "zfspool", "images"), ("volumes", "zfspool", "images")]
    return {
        f"/nodes/{name}/storage": [
            {"storage": store, "type": kind, "content": content, "enabled": 1, "active": 1, "shared": 0}
            for store, kind, content in stores
        ],
        **{
            f"/nodes/{name}/storage/{store}/content?content=images": []
            for store, _, content in stores
            if content == "images"
        },
        f"/nodes/{name}/network?type=any_bridge": [
            {"iface": "vmbr0", "type": "bridge", "active": 1, "bridge_ports": "eno1"}
        ],
        f"/nodes/{name}/version": {"version": "8.4.1", "release": "8.4", "repoid": "2a5fa54a8503f96d"},
        f"/nodes/{name}/time": {"timezone": "UTC", "time": 0, "localtime": 0},
    }


HEALTHY: dict[str, Any] = {
    "/nodes": [
        {"node": name, "status": "online", "type": "node", "maxcpu": 8, "maxmem": 34359738368} for name in HOSTS
    ],
    "/cluster/status": [
        {"type": "cluster", "name": "home", "nodes": 2, "quorate": 1},
        *({"type": "node", "name": name, "online": 1} for name in HOSTS),
    ],
    "/cluster/resources?type=vm": [],
    "/pools": [],
    "/access/users": [{"userid": "root@pam", "enable": 1}],
    "/access/roles": [{"roleid": "Administrator", "privs": "VM.Audit", "special": 1}],
    "/access/acl": [],
    **_host("pve1"),
    **_host("pve2"),
}


def guest(vm_id: int, name: str, **more: Any) -> dict[str, Any]:
    """An entry of /cluster/resources."""
    found = {"id": f"qemu/{vm_id}", "type": "qemu", "vmid": vm_id, "name": name, "node": "pve1", "status": "running"}
    return found | {"template": 0} | more


class RecordedApi:
    """Answers every request from a recording. An answer that is a ProxmoxError is raised."""

    endpoint = "https://proxmox.test:8006"
    who = "pulumi@pve!api"

    def __init__(self, *, lacks: Sequence[tuple[str, str]] = (), ahead: dict[str, float] | None = None) -> None:
        self.answers = copy.deepcopy(HEALTHY)
        self.lacks = lacks
        """Paths, each with a privilege that the login lacks there."""
        self.ahead = ahead or {}
        """Seconds by which a host's clock is ahead."""
        self.asked: list[str] = []

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if path.startswith("/access/permissions?path="):
            place = unquote(path.partition("=")[2])
            held = {name: 1 for name in ALL if (place, name) not in self.lacks}
            return {place: held} if held else {}
        answer = self.answers[path]
        if isinstance(answer, ProxmoxError):
            raise answer
        if path.endswith("/time"):
            return answer | {"time": int(time.time() + self.ahead.get(path.split("/")[2], 0))}
        return answer

    def taken(self, plan: PlannedSite = PLAN) -> Answers:
        """What the checks of a plan ask for."""
        return asyncio.run(survey.take(self, plan))
