"""What the client of the Talos API makes of a node's answers."""

from __future__ import annotations

import asyncio

import pytest

from components.talos import messages
from components.talos.api import TalosCredentials, TalosNode


def services(monkeypatch: pytest.MonkeyPatch, *listed: messages.ServiceInfo) -> dict[str, bool]:
    """What the client says of a node's services, of which the node says this."""

    async def ask() -> dict[str, bool]:
        async def answer(*_: object) -> messages.ServiceListResponse:
            return messages.ServiceListResponse([messages.ServiceList(listed)])

        monkeypatch.setattr("components.talos.api._tls", lambda _: None)
        async with TalosNode("127.0.0.1", TalosCredentials(b"", b"", b"")) as node:
            monkeypatch.setattr(node, "_call", answer)
            return dict(await node.services())

    return asyncio.run(ask())


def service(state: str, *, unknown: bool = False, healthy: bool = False) -> messages.ServiceInfo:
    return messages.ServiceInfo("etcd", state, messages.ServiceHealth(unknown=unknown, healthy=healthy))


def test_a_service_whose_health_talos_does_not_know_yet_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert services(monkeypatch, service("Running", unknown=True)) == {"etcd": False}


def test_a_service_that_runs_and_passed_its_check_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert services(monkeypatch, service("Running", healthy=True)) == {"etcd": True}


@pytest.mark.parametrize("state", ["Preparing", "Waiting", "Finished", "Failed"])
def test_a_service_that_does_not_run_is_not_healthy(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    assert services(monkeypatch, service(state, healthy=True)) == {"etcd": False}
