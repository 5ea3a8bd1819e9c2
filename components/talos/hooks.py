"""How nodes of a running cluster are changed one at a time, and when a new cluster counts as up.

Owns checks, all in `up` and none in a preview:

- before a node is configured for the first time: something answers on its API port. Afterwards: the node is healthy, if
  there is a cluster that it can join.
- before a control plane is changed (its VM or its configuration): enough *other* etcd members are healthy to keep the
  quorum while this one restarts. A change of the installer image is an upgrade, which happens here and is verified,
  since the provider has none. A change of the Kubernetes version rolls from here, too: after Talos on every node, the
  control planes' static pods, then one kubelet after another (`kubernetes_upgrade.py`).
- before anything of a running cluster is changed: the way from its releases to the wanted ones is allowed.
- after a node was changed: it is back and healthy, if it was a member before.
- before the kubeconfig is released: etcd is bootstrapped and healthy and the API answers on its address. Bootstrap is
  here and not a resource because a resource cannot say "already done": the provider's own retries AlreadyExists for ten
  minutes and fails, so an `up` that was killed between making the call and recording it could never converge.

The order in which nodes are changed is in the graph (`TalosCluster`, `TalosVm` chains); these checks make each link
wait. Does not own the checks in Proxmox: see `components/proxmox/hooks.py`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

import pulumi
import yaml

from components.kit.hook_inputs import known
from components.kit.ports import KUBERNETES_API
from components.talos import images
from components.talos.api import (
    EtcdMember,
    TalosCredentials,
    TalosError,
    TalosNode,
    answers,
    is_member,
    service_runs,
)
from components.talos.installer import Installer
from components.talos.power import SHUTDOWN_SECONDS
from components.talos.secrets import ClientCredentials
from components.talos.version_change import VersionChange
from components.talos.waiting import until

_ANSWER_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Member:
    """What the checks know of a node of the cluster."""

    controlplane: bool
    address: IPv4Address


@dataclass(frozen=True)
class Around:
    """Two hooks around one kind of change. What the first finds out about a node is kept between them, for the second.

    To be bound to every node's resource together, and made once: another pair knows nothing of what this one found.
    """

    before: pulumi.ResourceHook
    after: pulumi.ResourceHook


@dataclass(frozen=True, kw_only=True)
class TalosChecks:
    """The checks for one cluster; VMs and configurations share them.

    members: every node by name; the first control plane among them begins the cluster.
    client, kubernetes_ca: the cluster's credentials; a hook only runs when they are known.
    talos_version, kubernetes_version: the wanted releases, such as v1.13.9.
    node_timeout, api_timeout: seconds to wait for a node, and for a new cluster's API.
    """

    members: Mapping[str, Member]
    api_vip: IPv4Address
    client: ClientCredentials
    kubernetes_ca: pulumi.Output[str]
    talos_version: str
    kubernetes_version: str
    node_timeout: float
    api_timeout: float

    @property
    def first_control_plane(self) -> str:
        """The name of the control plane on which a new cluster is bootstrapped."""
        return next(name for name, member in self.members.items() if member.controlplane)

    def around_first_configuration(self) -> Around:
        """For the creation of each ConfigurationApply."""
        joining: set[str] = set()  # Nodes that are configured for the first time, while their cluster exists.

        async def node_answers(args: pulumi.ResourceHookArgs) -> None:
            address = (args.new_inputs or {})["node"]

            async def probe() -> str | None:
                return None if await answers(address) else "nothing answers on port 50000"

            await until(
                f"node {self._name(address)} ({address})",
                probe,
                self.node_timeout,
                "look at the VM's console in Proxmox: is it on, did it boot from its disk, "
                "and does the address fit the bridge and VLAN in homelab:site?",
            )
            if await self._etcd_members() is not None:
                await self._versions.may_begin()
                joining.add(self._name(address))

        async def node_joins(args: pulumi.ResourceHookArgs) -> None:
            name = self._name((args.new_inputs or {})["node"])
            if name in joining:
                joining.discard(name)
                await self._healthy(name, "after its first configuration")

        return Around(
            pulumi.ResourceHook("node-answers", node_answers), pulumi.ResourceHook("node-has-joined", node_joins)
        )

    def around_vm_update(self) -> Around:
        """For each VM, whose provider restarts it to apply cores or memory."""
        answered: dict[str, bool] = {}  # Whether a node whose VM is about to change was a running member.

        async def quorum_survives_vm_restart(args: pulumi.ResourceHookArgs) -> None:
            await self._versions_may_change()
            await self._quorum_survives_without(args.name)
            answered[args.name] = await is_member(self._address(args.name), await self._credentials())

        async def vm_is_back(args: pulumi.ResourceHookArgs) -> None:
            # A VM that is not a member yet, or that was down before, has no health that its change could have taken.
            if answered.pop(args.name, False):
                await self._healthy(args.name)

        return Around(
            pulumi.ResourceHook("quorum-survives-vm-restart", quorum_survives_vm_restart),
            pulumi.ResourceHook("node-is-back-after-vm-restart", vm_is_back),
        )

    def around_configuration_update(self) -> Around:
        """For each ConfigurationApply."""
        rebooting: dict[str, str] = {}  # Boot ids of nodes that will reboot for the configuration they are to get.
        ready: dict[str, bool] = {}  # Whether a node whose kubelet is about to be replaced was ready.

        async def may_change(args: pulumi.ResourceHookArgs) -> None:
            name = self._name((args.new_inputs or {})["node"])
            await self._versions_may_change()
            await self._quorum_survives_without(name)
            await self._healthy(name, "before its configuration changes")
            wanted, recorded = await _configuration(args.new_inputs), await _configuration(args.old_inputs)
            installer = Installer.parse(_installer(wanted))
            upgrades = installer.image != _installer(recorded)
            rolls = images.image(wanted, images.KUBELET) != images.image(recorded, images.KUBELET)

            async def upgrade_safely(other: str) -> None:
                await self._quorum_survives_without(other)
                await self._healthy(other, "before its upgrade")
                async with await self._node(other) as node:
                    await self._upgrade(other, node, installer)

            async with await self._node(name) as node:
                # A dry run before anything else: what the node refuses must not be found out after its upgrade.
                await node.will_reboot(wanted)
                if rolls and self.members[name].controlplane:
                    await self._versions.control_planes(wanted, upgrade_safely)
                if upgrades:
                    await self._upgrade(name, node, installer)
                if rolls:
                    ready[name] = await self._versions.kubelet_may_follow(name)
                if upgrades or rolls:
                    await self._versions.manifests()
                if await node.will_reboot(wanted):
                    rebooting[name] = await node.boot_id()

        async def configuration_is_active(args: pulumi.ResourceHookArgs) -> None:
            name = self._name((args.new_inputs or {})["node"])
            # The provider returns before the reboot starts: an answer from before it must not count.
            if (boot_id := rebooting.pop(name, None)) is not None:
                await self._rebooted(name, boot_id, self.node_timeout)
            await self._healthy(name)
            if name in ready:
                await self._versions.kubelet_runs(name, ready=ready.pop(name))

        return Around(
            pulumi.ResourceHook("quorum-survives-configuration", may_change),
            pulumi.ResourceHook("node-is-back-after-configuration", configuration_is_active),
        )

    def before_kubeconfig(self) -> pulumi.ResourceHook:
        """For the creation of the Kubeconfig, whose existence means that the cluster is up."""

        async def cluster_is_up(_: pulumi.ResourceHookArgs) -> None:
            first = self.first_control_plane
            remedy = f"look at it with: talosctl -n {self._address(first)} dmesg"

            async def bootstrapped() -> str | None:
                # A second cluster must never be bootstrapped beside a running one, whichever node comes first now.
                if await self._etcd_members() is None:
                    async with await self._node(first) as node:
                        await node.bootstrap()
                return None

            await until(f"bootstrap of {first}", bootstrapped, self.node_timeout, remedy)
            for name, member in self.members.items():
                if member.controlplane:
                    await self._healthy(name)
            await until(
                f"Kubernetes API on https://{self.api_vip}:{KUBERNETES_API}",
                self._api_answers,
                self.api_timeout,
                "etcd is healthy, so look at the API server: talosctl logs -k; and that no other machine uses "
                f"{self.api_vip} (homelab:network.apiVip)",
            )

        return pulumi.ResourceHook("cluster-is-up", cluster_is_up)

    async def _api_answers(self) -> str | None:
        """None when an API server whose certificate is the cluster's answers on the VIP."""
        authority = base64.b64decode(str(await known(self.kubernetes_ca)))
        context = ssl.create_default_context(cadata=authority.decode())
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await asyncio.open_connection(str(self.api_vip), KUBERNETES_API, ssl=context)
                writer.write(f"GET /readyz HTTP/1.1\r\nHost: {self.api_vip}\r\nConnection: close\r\n\r\n".encode())
                status = (await reader.readline()).split()
                writer.close()
        except (OSError, TimeoutError) as error:
            return str(error) or type(error).__name__
        # Talos allows no anonymous requests: 401 is the answer of a server whose authentication is ready.
        return None if status[1:2] in ([b"200"], [b"401"]) else f"HTTP status {status[1:2]}"

    @cached_property
    def _versions(self) -> VersionChange:
        addresses = {name: str(member.address) for name, member in self.members.items()}
        return VersionChange(
            controlplanes={name: addresses.pop(name) for name, member in self.members.items() if member.controlplane},
            workers=addresses,
            credentials=self._credentials,
            talos=self.talos_version,
            kubernetes=self.kubernetes_version,
            node_timeout=self.node_timeout,
            api_timeout=self.api_timeout,
        )

    async def _versions_may_change(self) -> None:
        """Refuses a way between releases that is too long; nothing is on a way before the bootstrap."""
        if await self._etcd_members() is not None:
            await self._versions.may_begin()

    async def _etcd_members(self) -> list[EtcdMember] | None:
        """The voting etcd members, as seen by the first control plane that answers; None if none answers.

        They may include some that are no longer in the settings: those stay members until their nodes are deleted.
        """
        for name, member in self.members.items():
            if member.controlplane:
                async with await self._node(name) as node:
                    with contextlib.suppress(TalosError):
                        if members := await node.etcd_members():
                            return members
        return None

    async def _quorum_survives_without(self, name: str) -> None:
        """Waits until etcd can keep its quorum without control plane `name`; workers have no part in etcd."""
        if not self.members[name].controlplane:
            return
        members = await self._etcd_members()
        if members is None:
            pulumi.log.warn(f"{name}: no control plane answers, so there is no etcd quorum that a restart could break")
            return
        if len(members) < 3:
            pulumi.log.warn(f"{name}: etcd has {len(members)} members; the API is down while one of them restarts")
            return
        quorum, credentials = len(members) // 2 + 1, await self._credentials()

        async def probe() -> str | None:
            others = [member for member in members if member.name != name]
            healthy = [member.name for member in others if await service_runs(member.address, credentials, "etcd")]
            if len(healthy) >= quorum:
                return None
            return f"healthy without it: {', '.join(healthy) or 'none'}; quorum of {len(members)} members: {quorum}"

        await until(
            f"etcd to keep its quorum while {name} restarts",
            probe,
            self.node_timeout,
            f"{name} was not touched; repair the other members first, or remove those that are gone for good: "
            "talosctl etcd members, talosctl etcd remove-member",
        )

    async def _healthy(self, name: str, why: str = "after its change") -> None:
        """Waits until the node's kubelet, and on a control plane its etcd, run and pass their health checks."""
        member = self.members[name]
        needed = ["kubelet", "etcd"] if member.controlplane else ["kubelet"]

        async def probe() -> str | None:
            async with await self._node(name) as node:
                services = await node.services()
            missing = [service for service in needed if not services.get(service)]
            return f"{', '.join(missing)} not healthy" if missing else None

        await until(
            f"node {name} ({member.address}) to be healthy {why}",
            probe,
            self.node_timeout,
            f"no other node was touched; repair this one first: talosctl -n {member.address} services",
        )

    async def _upgrade(self, name: str, node: TalosNode, installer: Installer) -> None:
        """Has the node run what `installer` brings; one that does already, as after a killed `up`, is left alone."""
        if await installer.difference(node) is None:
            pulumi.log.info(f"{name}: runs {installer.image} already")
            return
        boot_id = await node.boot_id()
        pulumi.log.info(f"{name}: upgrading to {installer.image}")
        await node.upgrade(installer.image)
        # Before it restarts, the node drains itself as it does before it shuts down.
        await self._rebooted(name, boot_id, SHUTDOWN_SECONDS + self.node_timeout)
        await self._healthy(name)
        if (runs := await installer.difference(node)) is not None:
            raise TalosError(
                f"{name} was upgraded to {installer.image} and runs {runs}: the new system did not boot, and Talos "
                "went back to the old one. No other node was touched; look at the VM's console in Proxmox during the "
                "next `pulumi up`, which tries again, or set homelab:versions.talos and homelab:talos back"
            )

    async def _rebooted(self, name: str, boot_id: str, timeout: float) -> None:
        async def probe() -> str | None:
            async with await self._node(name) as node:
                return None if await node.boot_id() != boot_id else "it has not restarted yet"

        remedy = f"look at the VM's console in Proxmox, and at talosctl -n {self._address(name)} dmesg"
        await until(f"node {name} to come back from its restart", probe, timeout, remedy)

    async def _credentials(self) -> TalosCredentials:
        parts = (self.client.ca_certificate, self.client.client_certificate, self.client.client_key)
        return TalosCredentials.decoded(*[str(await known(part)) for part in parts])

    async def _node(self, name: str) -> TalosNode:
        return TalosNode(self._address(name), await self._credentials())

    def _address(self, name: str) -> str:
        return str(self.members[name].address)

    def _name(self, address: str) -> str:
        return next(name for name in self.members if self._address(name) == address)


async def _configuration(inputs: Mapping[str, object] | None) -> str:
    """The machine configuration among the inputs of a ConfigurationApply."""
    return str(await known((inputs or {})["machineConfigurationInput"]))


def _installer(configuration: str) -> str:
    """machine.install.image of a configuration, which consists of several YAML documents."""
    for document in yaml.safe_load_all(configuration):
        if isinstance(document, dict) and "machine" in document:
            return str(document["machine"]["install"]["image"])
    raise TalosError("the machine configuration has no machine.install.image; update the program")
