"""Addresses at which somebody answers: which are asked, when, and what an answer means."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from ipaddress import IPv4Address
from typing import Any

import pulumi
import pytest

from components.proxmox.site import addresses
from components.proxmox.site.plan import PlannedAddresses, PlannedSite
from tests.unit.proxmox.recorded_site import BROADCAST, PLAN, TAG, RecordedApi, guest, planned


class Network:
    """Who answers in a network without machines."""

    def __init__(self, *answering: tuple[str, int], slow: Collection[str] = ()) -> None:
        self.answering = answering
        self.slow = slow
        self.asked: list[tuple[str, int]] = []

    async def probe(self, address: str, port: int) -> bool:
        self.asked.append((address, port))
        if address in self.slow:
            await asyncio.sleep(3600)
        return (address, port) in self.answering


def found(network: Network, plan: PlannedSite = PLAN, guests: tuple[dict[str, Any], ...] = ()) -> list[str]:
    api = RecordedApi()
    api.answers["/cluster/resources?type=vm"] = list(guests)
    return asyncio.run(addresses.findings(plan, api.taken(plan), network.probe))


def test_nothing_is_found_where_nobody_answers() -> None:
    assert found(Network()) == []


@pytest.mark.parametrize("port", [6443, 22, 80, 443])
def test_a_machine_at_the_vip_is_named_with_its_port(port: int) -> None:
    assert found(Network(("198.51.100.31", port))) == [
        f"homelab:network.apiVip: 198.51.100.31 (port {port}) answers already, but it has to be free; "
        "choose an address that is free, outside the range of a DHCP server, or turn that machine off"
    ]


def test_a_machine_at_a_nodes_address_is_named() -> None:
    [finding] = found(Network(("198.51.100.2", 50000), ("198.51.100.2", 22)))
    assert finding.startswith("homelab:nodes.worker-1.address: 198.51.100.2 (port 50000, 22) answers already")


def test_of_a_range_the_first_that_answer_are_named_and_the_others_counted() -> None:
    last = IPv4Address("198.51.100.60")
    plan = planned(
        addresses=(PlannedAddresses("homelab:network.pools.services", IPv4Address("198.51.100.40"), last, ()),)
    )
    [finding] = found(Network(*((f"198.51.100.{number}", 80) for number in range(41, 51))), plan)
    assert "198.51.100.41 (port 80), 198.51.100.42 (port 80)" in finding
    assert "198.51.100.45 (port 80) and 5 more answers" in finding


def test_a_stack_that_is_there_answers_at_its_own_addresses() -> None:
    network = Network(("198.51.100.31", 6443), ("198.51.100.1", 50000))
    assert found(network, guests=(guest(2001, "worker-0", tags=TAG),)) == []
    assert {address for address, _ in network.asked} == {"198.51.100.2", str(BROADCAST)}


def test_a_node_that_takes_the_address_of_one_that_goes_is_told_to_wait_for_that() -> None:
    own = guest(2005, "worker-5", tags=TAG)
    [finding] = found(Network(("198.51.100.2", 50000)), guests=(guest(2001, "worker-0", tags=TAG), own))
    assert finding.endswith("that the settings have no more, remove it first, by a `pulumi up` without either")


def test_a_node_that_is_to_get_another_id_has_its_address_for_now() -> None:
    assert found(Network(("198.51.100.1", 50000)), guests=(guest(7001, "worker-0", tags=TAG),)) == []


def test_where_everything_is_accepted_an_answer_says_nothing() -> None:
    assert found(Network(("198.51.100.31", 443), (str(BROADCAST), 443))) == []


def test_an_answer_on_another_port_still_counts_there() -> None:
    [finding] = found(Network(("198.51.100.31", 443), ("198.51.100.31", 6443), (str(BROADCAST), 443)))
    assert finding.startswith("homelab:network.apiVip: 198.51.100.31 (port 6443) answers")


def test_no_more_time_is_spent_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    monkeypatch.setattr(addresses, "_ALL", 0.05)
    network = Network(("198.51.100.2", 22), slow=["198.51.100.31"])
    assert [finding.split(":")[1] for finding in found(network)] == ["nodes.worker-1.address"]
    assert said == ["1 addresses of the settings were not probed: there was no more time for them"]


def test_a_port_where_a_program_listens_accepts_and_another_does_not() -> None:
    async def tried() -> tuple[bool, bool]:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            open_port = await addresses.accepts("127.0.0.1", port)
        return open_port, await addresses.accepts("127.0.0.1", port)

    assert asyncio.run(tried()) == (True, False)
