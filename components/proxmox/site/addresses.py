"""Which addresses of a plan somebody answers at already, although nothing of this stack is there.

Owns the probes: TCP connections to a few ports, all at once, within a fixed time. That is what can be known from the
machine that runs Pulumi: a machine that has none of the ports open, or that drops what comes from here, is not found.
Only an accepted connection counts. A refusal may come from a firewall in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address

import pulumi

from components.proxmox.site.answers import Answers
from components.proxmox.site.plan import PlannedAddresses, PlannedSite
from components.talos.api import PORT as TALOS

COMMON = (22, 80, 443)
"""SSH and the web, where most devices in a network answer."""

_ONE, _ALL, _AT_ONCE = 2.0, 10.0, 256
"""Seconds for one connection, seconds for all, and connections at a time: a process may have 1024 files open."""

Probe = Callable[[str, int], Awaitable[bool]]


async def accepts(address: str, port: int) -> bool:
    """Whether a TCP connection is accepted."""
    try:
        async with asyncio.timeout(_ONE):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
    except (OSError, TimeoutError):
        return False
    return True


def planned(plan: PlannedSite, answers: Answers) -> Iterator[PlannedAddresses]:
    """The addresses that nobody should answer at: of nodes without a VM and, before there is any VM, of the rest."""
    ours = answers.ours(plan.tag)
    names = {vm.get("name") for vm in ours.values()}
    for name, vm in plan.vms.items():
        # A VM that is to be replaced has its node's address for now.
        if vm.vm_id not in ours and name not in names:
            address = IPv4Address(vm.address)
            yield PlannedAddresses(f"homelab:nodes.{name}.address", address, address, (TALOS,))
    if not ours:
        yield from plan.addresses


async def findings(plan: PlannedSite, answers: Answers, probe: Probe | None = None) -> list[str]:
    """One line for each setting with addresses that somebody answers at; `probe` in the place of `accepts`."""
    wanted = {
        (IPv4Address(number), port): each.key
        for each in planned(plan, answers)
        for number in range(int(each.first), int(each.last) + 1)
        for port in dict.fromkeys((*each.ports, *COMMON))
    }
    found = await _answering(list(wanted), plan.nobody, probe or accepts)
    lines: dict[str, dict[IPv4Address, list[int]]] = {}
    for (address, port), answered in found.items():
        if answered:
            lines.setdefault(wanted[address, port], {}).setdefault(address, []).append(port)
    if len(found) < len(wanted):
        unasked = len({address for address, _ in wanted.keys() - found.keys()})
        pulumi.log.info(f"{unasked} addresses of the settings were not probed: there was no more time for them")
    remedy = "choose an address that is free, outside the range of a DHCP server, or turn that machine off"
    if answers.ours(plan.tag):
        remedy += "; if it is a node that the settings have no more, remove it first, by a `pulumi up` without either"
    return [f"{key}: {_where(users)} answers already, but it has to be free; {remedy}" for key, users in lines.items()]


async def _answering(
    wanted: Sequence[tuple[IPv4Address, int]], nobody: IPv4Address | None, probe: Probe
) -> Mapping[tuple[IPv4Address, int], bool]:
    """What was found out in time about each address and port.

    A port that is accepted where no machine can be says nothing about the others: some VPNs and proxies accept every
    connection, and a service of this machine may listen on all of its addresses.
    """
    limit = asyncio.Semaphore(_AT_ONCE)
    found: dict[tuple[IPv4Address, int], bool] = {}

    async def ask(address: IPv4Address, port: int) -> None:
        async with limit:
            found[address, port] = await probe(str(address), port)

    yardsticks = {(nobody, port): None for _, port in wanted} if nobody is not None else {}
    try:
        async with asyncio.timeout(_ALL), asyncio.TaskGroup() as group:
            for address, port in [*yardsticks, *wanted]:
                group.create_task(ask(address, port))
    except TimeoutError:
        pass
    meaningless = {port for _, port in yardsticks if nobody is not None and found.get((nobody, port))}
    return {
        (address, port): answered and port not in meaningless
        for (address, port), answered in found.items()
        if (address, port) not in yardsticks
    }


def _where(users: Mapping[IPv4Address, Sequence[int]]) -> str:
    """The first few of them; a range that is in use as a whole would fill the screen."""
    shown = [f"{address} (port {', '.join(map(str, ports))})" for address, ports in sorted(users.items())]
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    return ", ".join(shown[:5]) + more
