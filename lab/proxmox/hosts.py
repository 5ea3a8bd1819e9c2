# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""The simulated nodes: what each has, the release that it runs, its clock, its bridges; and what cannot start on it.

Nothing is measured: the figures are those of the configuration, and a clock is this machine's with a difference.
"""

from __future__ import annotations

import re
import time
from typing import Any

from fakepve import FakePve
from fakepve.model import TaskError
from fakepve.qemu import natural

from lab.proxmox.settings import Bridge, Settings

MIB = 1024**2

QEMU_FAILED = "start failed: QEMU exited with code 1"
"""How the task ends; what QEMU or its network script said is in the task's log (PVE::QemuServer, vm_start_nolock)."""

_ANY_BRIDGE = (None, "bridge", "any_bridge", "any_local_bridge")


class Hosts(FakePve):  # type: ignore[misc]
    """Mixin: the nodes as hosts of VMs."""

    settings: Settings

    def _routes_lab_hosts(self) -> list[tuple[str, str, Any]]:
        return [
            ("GET", "/nodes/{node}/status", self._node_status),
            ("GET", "/nodes/{node}/version", self._node_version),
            ("GET", "/nodes/{node}/time", self._node_time),
            ("GET", "/nodes/{node}/network", self._network),
        ]

    def used_memory(self, node: str) -> int:
        """Bytes of the VMs that run on a node."""
        return sum(
            int(str(vm.config.get("memory", 512)).split("=")[-1]) * MIB
            for vm in self.vms
            if vm.node == node and vm.status == "running"
        )

    async def _node_status(self, v: dict[str, Any], _user: str) -> Any:
        host, node = self.settings.nodes[v["node"]], v["node"]
        total, used = host.memory_mib * MIB, self.used_memory(node)
        known = {
            "memory": {"total": total, "used": used, "free": total - used, "available": total - used},
            "cpuinfo": {"cpus": host.cores, "cores": host.cores, "sockets": 1},
            "pveversion": f"pve-manager/{host.version}/lab",
        }
        return self._complete("/nodes/{node}/status", known, node=node)

    async def _node_version(self, v: dict[str, Any], _user: str) -> dict[str, str]:
        version = self.settings.nodes[v["node"]].version
        return {"version": version, "release": ".".join(version.split(".")[:2]), "repoid": "lab"}

    async def _node_time(self, v: dict[str, Any], _user: str) -> dict[str, Any]:
        """Whole seconds, as PVE::API2::Nodes answers (`time`)."""
        now = int(time.time() + self.settings.nodes[v["node"]].clock_ahead)
        return {"timezone": "UTC", "time": now, "localtime": now}

    def _bridges(self, node: str) -> dict[str, Bridge]:
        return {each.name: each for each in self.settings.bridges if not each.nodes or node in each.nodes}

    async def _network(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """The node's bridges that the asker may use or see: PVE::API2::Network, index.

        https://github.com/proxmox/pve-manager/blob/master/PVE/API2/Network.pm. The address of the first is the
        simulator's: a client that dials it stays on this machine.
        """
        listed = []
        for number, bridge in enumerate(self._bridges(v["node"]).values(), 3):
            entry = {"iface": bridge.name, "type": "bridge", "method": "manual", "autostart": 1, "priority": number}
            entry |= {"bridge_ports": " ".join(bridge.ports), "bridge_stp": "off", "bridge_fd": "0"}
            if bridge.active:
                entry["active"] = 1
            if bridge.vlan_aware:
                entry |= {"bridge_vlan_aware": 1, "bridge_vids": "2-4094"}
            if number == 3:
                entry |= {"method": "static", "address": self.host, "netmask": "32", "cidr": f"{self.host}/32"}
            listed.append(entry)
        if v.get("type") not in _ANY_BRIDGE:
            return []
        return [entry for entry in listed if self._may_see_bridge(user, str(entry["iface"]))]

    def _may_see_bridge(self, user: str, bridge: str) -> bool:
        """Whether a bridge, or a VLAN of it, may be used or seen: PVE::RPCEnvironment, check_sdn_bridge."""
        path = f"/sdn/zones/localnetwork/{bridge}"
        paths = {path, *(acl["path"] for acl in self.acls if acl["path"].startswith(f"{path}/"))}
        return any(self.allowed(user, each, privilege) for each in paths for privilege in ("SDN.Audit", "SDN.Use"))

    def require_bridges(self, user: str, values: dict[str, Any]) -> None:
        """Refuse a network device on a bridge that the asker may not use.

        PVE::QemuServer's check_bridge_access and PVE::GuestHelpers' check_vnet_access:
        https://github.com/proxmox/pve-guest-common/blob/master/src/PVE/GuestHelpers.pm
        """
        if user == "root@pam":
            return
        for key in sorted(values, key=natural):
            if re.fullmatch(r"net\d+", key) and (device := _device(str(values[key]))).get("bridge"):
                tag = f"/{device['tag']}" if "tag" in device else ""
                self.require(user, f"/sdn/zones/localnetwork/{device['bridge']}{tag}", "SDN.Use")

    async def _qm_create(self, v: dict[str, Any], user: str) -> str:
        """Create a VM, if its bridges may be used."""
        self.require_bridges(user, v)
        upid: str = await super()._qm_create(v, user)
        return upid

    async def _do_start(self, vm: Any, user: str, p: dict[str, Any]) -> str:
        """Start a VM; the task fails for what its node does not have."""
        reason, said = self._obstacle(vm)

        async def body() -> None:
            raise TaskError(reason)

        upid: str = (
            await self.task(vm.node, "qmstart", vm.vmid, user, body, vm=vm, log=[said] if said else [])
            if reason
            else await super()._do_start(vm, user, p)
        )
        return upid

    def _obstacle(self, vm: Any) -> tuple[str, str]:
        """Why a VM cannot start on its node, and what the task's log says before that; empty if it can.

        Cores: PVE::QemuServer, config_to_command. Bridge and VLAN: the script pve-bridge with PVE::Network's
        read_bridge_mtu and activate_bridge_vlan, which gives a bridge that is not VLAN-aware a VLAN by another one,
        on its network card: https://github.com/proxmox/pve-common/blob/master/src/PVE/Network.pm. Memory: QEMU cannot
        have more at once than there is.
        """
        config = {**vm.config, **vm.pending}
        host = self.settings.nodes[vm.node]
        cores = int(config.get("sockets") or 1) * int(config.get("cores") or 1)
        if cores > host.cores:
            return f"MAX {host.cores} vcpus allowed per VM on this node", ""
        if int(str(config.get("memory") or 512).split("=")[-1]) > host.memory_mib:
            return QEMU_FAILED, "kvm: cannot set up guest memory 'pc.ram': Cannot allocate memory"
        bridges = {name: each for name, each in self._bridges(vm.node).items() if each.active}
        for key in sorted(key for key in config if re.fullmatch(r"net\d+", key)):
            device = _device(str(config[key] or ""))
            name = device.get("bridge")
            if name and name not in bridges:
                return QEMU_FAILED, f"bridge '{name}' does not exist"
            if name and "tag" in device and not bridges[name].vlan_aware and not bridges[name].ports:
                return QEMU_FAILED, f"no physical interface on bridge '{name}'"
        return "", ""


def _device(value: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in value.split(",") if "=" in part)
