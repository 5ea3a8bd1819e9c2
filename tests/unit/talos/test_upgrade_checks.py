"""An upgrade of a node: when it is made, how long it may take, and what counts as done."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, cast

import pulumi
import pytest

from components.talos import hooks, waiting
from components.talos.api import TalosError, TalosNode
from components.talos.hooks import Member, TalosChecks
from components.talos.installer import Installer
from components.talos.secrets import ClientCredentials

OLD, NEW = "a" * 64, "b" * 64
NOTHING = cast("pulumi.Output[str]", "")
NO_CREDENTIALS = ClientCredentials(NOTHING, NOTHING, NOTHING)
WANTED = Installer.parse(f"factory.talos.dev/nocloud-installer/{NEW}:v1.13.9")


@dataclass
class Node:
    """A node that boots into what it is upgraded to, or not, when it was asked for its boot id often enough."""

    version: str
    schematic: str
    boots: bool = True
    asked_until_restart: int = 1
    upgrades: list[str] = field(default_factory=list)
    asked: int = 0

    async def upgrade(self, image: str) -> None:
        self.upgrades.append(image)

    def restarted(self) -> bool:
        return bool(self.upgrades) and self.asked > self.asked_until_restart


class Client:
    """What the checks use of TalosNode."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def _runs(self) -> tuple[str, str]:
        if self.node.restarted() and self.node.boots:
            installed = Installer.parse(self.node.upgrades[-1])
            return installed.version, str(installed.schematic)
        return self.node.version, self.node.schematic

    async def version(self) -> str:
        return self._runs()[0]

    async def schematic(self) -> str:
        return self._runs()[1]

    async def boot_id(self) -> str:
        self.node.asked += 1
        return "second" if self.node.restarted() else "first"

    async def upgrade(self, image: str) -> None:
        await self.node.upgrade(image)

    async def services(self) -> dict[str, bool]:
        return {"kubelet": True}


def upgraded(node: Node, monkeypatch: pytest.MonkeyPatch, node_timeout: float = 60) -> None:
    """The node after the check before its configuration."""
    checks = TalosChecks(
        members={"worker-0": Member(controlplane=False, address=IPv4Address("192.0.2.1"))},
        api_vip=IPv4Address("192.0.2.9"),
        client=NO_CREDENTIALS,
        kubernetes_ca=NOTHING,
        talos_version="v1.13.9",
        kubernetes_version="v1.36.3",
        node_timeout=node_timeout,
        api_timeout=60,
    )
    client = Client(node)
    monkeypatch.setattr(hooks, "TalosNode", lambda *_: client)
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.02)
    asyncio.run(checks._upgrade("worker-0", cast(TalosNode, client), WANTED))


@pytest.mark.parametrize("runs", [("v1.13.8", NEW), ("v1.13.9", OLD)], ids=["version", "schematic"])
def test_a_node_that_runs_something_else_is_upgraded_once(
    monkeypatch: pytest.MonkeyPatch, runs: tuple[str, str]
) -> None:
    node = Node(*runs)
    upgraded(node, monkeypatch)
    assert node.upgrades == [WANTED.image]


def test_a_node_that_runs_the_image_already_is_not_upgraded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node("v1.13.9", NEW)
    upgraded(node, monkeypatch)
    assert node.upgrades == []


def test_an_upgrade_that_talos_took_back_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TalosError, match=rf"upgraded to {WANTED.image} and runs v1\.13\.8 of schematic {OLD}"):
        upgraded(Node("v1.13.8", OLD, boots=False), monkeypatch)


def test_an_upgrade_may_take_as_long_as_a_node_needs_to_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded(Node("v1.13.8", OLD, asked_until_restart=10), monkeypatch, node_timeout=0.05)


@pytest.mark.parametrize(
    ("image", "schematic"),
    [(f"factory.talos.dev/installer/{OLD}:v1.13.9", OLD), ("ghcr.io/siderolabs/installer:v1.13.9", None)],
)
def test_an_installer_image_says_what_it_brings(image: str, schematic: str | None) -> None:
    parsed: Any = Installer.parse(image)
    assert (parsed.schematic, parsed.version) == (schematic, "v1.13.9")


def test_an_installer_image_without_a_version_is_refused() -> None:
    with pytest.raises(TalosError, match="has no version such as"):
        Installer.parse("registry.lan:5000/installer/latest")
