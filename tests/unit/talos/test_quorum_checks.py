"""Whether a node may restart: the checks around changes, against nodes that are played.

A node is played by what it answers; how it comes to that is `lab/talos`. Time passes by asking: a node changes when it
was asked often enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any, cast

import pulumi
import pytest

from components.talos import api, hooks, waiting
from components.talos.api import EtcdMember, TalosError
from components.talos.hooks import Member, TalosChecks
from components.talos.secrets import ClientCredentials

TEXT = cast("pulumi.Output[str]", "")
NAMES = ("controlplane-0", "controlplane-1", "controlplane-2", "worker-0")
ADDRESSES = {name: f"192.0.2.{number}" for number, name in enumerate(NAMES, 1)}


@dataclass
class Node:
    """A machine, and what it says. silent: it does not answer at all. unwell: services that are not healthy.

    wakes_after: how often it is asked until it is well again.
    """

    silent: bool = False
    unwell: tuple[str, ...] = ()
    wakes_after: int | None = None
    asked: int = 0


@dataclass
class Site:
    """All nodes. voters: the members of etcd; None: no cluster is up."""

    nodes: dict[str, Node] = field(default_factory=lambda: {name: Node() for name in NAMES})
    voters: tuple[str, ...] | None = NAMES[:3]
    log: list[str] = field(default_factory=list)

    def at(self, address: str) -> tuple[str, Node]:
        name = next(name for name, known in ADDRESSES.items() if known == address)
        return name, self.nodes[name]


class Client:
    """What the checks use of TalosNode."""

    def __init__(self, site: Site, address: str) -> None:
        self.site = site
        self.name, self.node = site.at(address)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        self.node.asked += 1
        if self.node.wakes_after is not None and self.node.asked > self.node.wakes_after:
            self.node.silent, self.node.unwell = False, ()
        if self.node.silent:
            raise TalosError(f"node {self.name} does not answer")

    async def version(self) -> str:
        self._answer()
        return "v1.13.9"

    async def services(self) -> dict[str, bool]:
        self.site.log.append(f"services of {self.name}")
        self._answer()
        return {service: service not in self.node.unwell for service in ("kubelet", "etcd")}

    async def etcd_members(self) -> list[EtcdMember]:
        self._answer()
        if self.site.voters is None:
            raise TalosError("etcd is not up")
        return [EtcdMember(name, number, ADDRESSES[name]) for number, name in enumerate(self.site.voters)]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    for module in (hooks, api):
        monkeypatch.setattr(module, "TalosNode", lambda address, _: Client(site, address))
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)

    async def nothing(_: object) -> None:
        site.log.append("versions")

    monkeypatch.setattr(TalosChecks, "_versions_may_change", nothing)
    # A real one asks the engine for its registration as soon as it is made.
    monkeypatch.setattr(pulumi, "ResourceHook", lambda _, callback: SimpleNamespace(callback=callback))
    return site


PATIENT = 60.0
"""Seconds for what has to come in the end; a machine with much else to do needs some of them."""


def checks(node_timeout: float = 0.15) -> TalosChecks:
    return TalosChecks(
        members={
            name: Member(controlplane=name.startswith("controlplane"), address=IPv4Address(address))
            for name, address in ADDRESSES.items()
        },
        api_vip=IPv4Address("192.0.2.99"),
        client=ClientCredentials(TEXT, TEXT, TEXT),
        kubernetes_ca=TEXT,
        talos_version="v1.13.9",
        kubernetes_version="v1.36.3",
        node_timeout=node_timeout,
        api_timeout=0.15,
    )


@dataclass
class Args:
    """What a hook around a VM's change is given."""

    name: str


def before_vm_update(name: str, node_timeout: float = 0.15) -> None:
    """Run the hook before a VM changes."""
    asyncio.run(_call(checks(node_timeout).around_vm_update().before, Args(name)))


async def _call(hook: pulumi.ResourceHook, args: object) -> None:
    await cast("Callable[[object], Awaitable[None]]", hook.callback)(args)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("site")
def test_any_node_of_a_healthy_cluster_may_restart(name: str) -> None:
    before_vm_update(name)


@pytest.mark.parametrize("sick", ["controlplane-1", "controlplane-2"])
def test_a_control_plane_does_not_restart_while_another_is_down(site: Site, sick: str) -> None:
    site.nodes[sick].silent = True
    with pytest.raises(TalosError, match=r"etcd to keep its quorum while controlplane-0 restarts: .* quorum of 3.*: 2"):
        before_vm_update("controlplane-0")


def test_a_control_plane_does_not_restart_while_the_etcd_of_another_is_unwell(site: Site) -> None:
    site.nodes["controlplane-2"].unwell = ("etcd",)
    with pytest.raises(TalosError, match="controlplane-0 was not touched; repair the other members first"):
        before_vm_update("controlplane-0")


def test_a_member_that_comes_back_in_time_is_waited_for(site: Site) -> None:
    site.nodes["controlplane-2"] = Node(unwell=("etcd",), wakes_after=3)
    before_vm_update("controlplane-0", PATIENT)


def test_the_member_that_restarts_does_not_count_as_one_that_stays(site: Site) -> None:
    # Of five, three must stay without it: itself and two others are not enough.
    site.voters = ("controlplane-0", "controlplane-1", "controlplane-2", "controlplane-0", "controlplane-1")
    site.nodes["controlplane-2"].silent = True
    with pytest.raises(TalosError, match="quorum of 5 members: 3"):
        asyncio.run(checks()._quorum_survives_without("controlplane-0"))


def test_a_worker_restarts_whatever_etcd_does(site: Site) -> None:
    site.nodes["controlplane-1"].silent = True
    before_vm_update("worker-0")


def test_the_only_member_may_restart_as_nothing_could_be_saved(site: Site) -> None:
    site.voters = ("controlplane-0",)
    before_vm_update("controlplane-0")


def test_a_cluster_that_is_down_can_be_repaired(site: Site) -> None:
    site.voters = None
    before_vm_update("controlplane-0")


def test_a_node_that_was_a_member_is_waited_for_after_its_vm_has_changed(site: Site) -> None:
    around = checks(PATIENT).around_vm_update()

    async def change() -> None:
        await _call(around.before, Args("controlplane-1"))
        site.nodes["controlplane-1"] = Node(silent=True, wakes_after=4)
        await _call(around.after, Args("controlplane-1"))

    asyncio.run(change())
    assert site.nodes["controlplane-1"].asked > 4


def test_the_next_node_is_not_touched_when_this_one_stays_away(site: Site) -> None:
    around = checks().around_vm_update()

    async def change() -> None:
        await _call(around.before, Args("controlplane-1"))
        site.nodes["controlplane-1"] = Node(silent=True)
        await _call(around.after, Args("controlplane-1"))

    with pytest.raises(TalosError, match=r"node controlplane-1 .* to be healthy after its change"):
        asyncio.run(change())


@pytest.mark.parametrize(
    ("name", "service"), [("controlplane-0", "etcd"), ("controlplane-0", "kubelet"), ("worker-0", "kubelet")]
)
def test_a_node_is_healthy_when_all_that_it_must_run_is(site: Site, name: str, service: str) -> None:
    site.nodes[name].unwell = (service,)
    with pytest.raises(TalosError, match=f"{service} not healthy"):
        asyncio.run(checks()._healthy(name))


def test_a_worker_needs_no_etcd(site: Site) -> None:
    site.nodes["worker-0"].unwell = ("etcd",)
    asyncio.run(checks()._healthy("worker-0"))


CONFIGURATION = """\
machine:
  install: {{image: "factory.talos.dev/nocloud-installer/{schematic}:v1.13.9"}}
  kubelet: {{image: "ghcr.io/siderolabs/kubelet:v1.36.3"}}
"""


@dataclass
class Change:
    """What a hook around a configuration's change is given."""

    new_inputs: dict[str, Any]
    old_inputs: dict[str, Any]


def configuration_args(name: str) -> Change:
    text = CONFIGURATION.format(schematic="a" * 64)
    inputs = {"node": ADDRESSES[name], "machineConfigurationInput": text}
    return Change(inputs, dict(inputs))


def test_a_configuration_does_not_reach_a_control_plane_that_etcd_needs(site: Site) -> None:
    site.nodes["controlplane-1"].silent = True
    before = checks().around_configuration_update().before
    with pytest.raises(TalosError, match="etcd to keep its quorum while controlplane-0 restarts"):
        asyncio.run(_call(before, configuration_args("controlplane-0")))


class Rebooting(Client):
    """A node that reboots for its configuration."""

    async def will_reboot(self, _: str) -> bool:
        return True

    async def boot_id(self) -> str:
        self.site.log.append(f"boot id of {self.name}")
        return "first" if self.site.log.count(f"boot id of {self.name}") < 4 else "second"


def test_a_node_that_reboots_for_its_configuration_is_waited_for_until_it_has(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (hooks, api):
        monkeypatch.setattr(module, "TalosNode", lambda address, _: Rebooting(site, address))
    around = checks(PATIENT).around_configuration_update()
    args = configuration_args("worker-0")

    async def change() -> None:
        await _call(around.before, args)
        await _call(around.after, args)

    asyncio.run(change())
    # Once before, then until it is another.
    assert site.log.count("boot id of worker-0") == 4


def test_an_unhealthy_node_gets_no_configuration(site: Site) -> None:
    site.nodes["worker-0"].unwell = ("kubelet",)
    before = checks().around_configuration_update().before
    with pytest.raises(TalosError, match="before its configuration changes"):
        asyncio.run(_call(before, configuration_args("worker-0")))


class Ahead(Client):
    """A node whose configuration asks for no reboot."""

    async def will_reboot(self, _: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("ill", "says"),
    [
        ("worker-0", r"node worker-0 \(192\.0\.2\.4\) to be healthy before its upgrade: kubelet not healthy"),
        ("controlplane-2", "etcd to keep its quorum while controlplane-1 restarts: healthy without it: controlplane-0"),
    ],
)
def test_a_node_whose_talos_is_raised_ahead_of_its_turn_is_looked_at_first(
    site: Site, monkeypatch: pytest.MonkeyPatch, ill: str, says: str
) -> None:
    """Kubernetes goes through all control planes at once, and before it Talos through all nodes."""

    async def control_planes(_: str, upgrade: Callable[[str], Awaitable[None]]) -> None:
        site.nodes[ill].unwell = ("kubelet", "etcd")
        for name in NAMES[1:]:
            await upgrade(name)

    async def upgraded(_: TalosChecks, name: str, *__: object) -> None:
        site.log.append(f"{name} upgraded")

    for module in (hooks, api):
        monkeypatch.setattr(module, "TalosNode", lambda address, _: Ahead(site, address))
    monkeypatch.setattr(TalosChecks, "_versions", SimpleNamespace(control_planes=control_planes))
    monkeypatch.setattr(TalosChecks, "_upgrade", upgraded)
    args = configuration_args("controlplane-0")
    wanted = CONFIGURATION.format(schematic="b" * 64).replace("v1.36.3", "v1.36.4")
    args.new_inputs["machineConfigurationInput"] = wanted
    with pytest.raises(TalosError, match=says):
        asyncio.run(_call(checks().around_configuration_update().before, args))
    reached = [line for line in site.log if line.endswith("upgraded")]
    assert reached == [f"{name} upgraded" for name in NAMES[1:] if ill == "worker-0" and name != ill]


@pytest.mark.parametrize("name", ["controlplane-1", "worker-0"])
def test_the_next_node_is_not_touched_when_this_one_falls_ill_by_its_configuration(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One that does not reboot for it too."""
    for module in (hooks, api):
        monkeypatch.setattr(module, "TalosNode", lambda address, _: Ahead(site, address))
    around = checks().around_configuration_update()

    async def change() -> None:
        await _call(around.before, configuration_args(name))
        site.nodes[name].unwell = ("kubelet",)
        await _call(around.after, configuration_args(name))

    with pytest.raises(TalosError, match=rf"node {name} .* to be healthy after its change: kubelet not healthy"):
        asyncio.run(change())
