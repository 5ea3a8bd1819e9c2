"""Asks Proxmox about a site: every request that the checks need, all at once, none of which changes anything.

Owns the choice of requests. Does not own what is demanded (`plan`), nor what follows from an answer (`hosts`, `names`,
`rights`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from components.proxmox.api import ProxmoxError
from components.proxmox.site import rights
from components.proxmox.site.answers import (
    ACL,
    CLUSTER,
    GUESTS,
    NODES,
    POOLS,
    ROLES,
    USERS,
    Answers,
    Api,
    bridges,
    clock,
    disks,
    privileges,
    storage,
    version,
)
from components.proxmox.site.plan import PlannedSite


async def take(api: Api, plan: PlannedSite) -> Answers:
    """Ask for everything that the checks of `plan` need: a host that is off is not asked for what it has."""
    of_site = [NODES, GUESTS, CLUSTER, POOLS, USERS, ROLES, ACL]
    site = await _ask(api, [*of_site, *(privileges(path) for path in rights.paths(plan))])
    online = {entry["node"] for entry in site.items(NODES) if entry.get("status") == "online"}
    hosts = await _ask(
        api, [of(host) for host in plan.hosts if host in online for of in (storage, bridges, version, clock)]
    )
    volumes = await _ask(api, [] if site.ours(plan.tag) else _disks(plan, hosts))
    clocks = {host: hosts.clocks[clock(host)] for host in plan.hosts if clock(host) in hosts.clocks}
    rounds = (site, hosts, volumes)
    found = {path: answer for each in rounds for path, answer in each.found.items()}
    failed = {path: error for each in rounds for path, error in each.failed.items()}
    return Answers(found, failed, clocks)


def _disks(plan: PlannedSite, hosts: Answers) -> list[str]:
    """What lies on the datastores that a new stack is to use, where they are there."""
    return [
        disks(name, entry["storage"])
        for name, host in plan.hosts.items()
        for entry in hosts.items(storage(name))
        if "images" in host.datastores.get(entry["storage"], ()) and int(entry.get("active", 1))
    ]


async def _ask(api: Api, paths: Iterable[str]) -> Answers:
    found: dict[str, Any] = {}
    failed: dict[str, ProxmoxError] = {}
    clocks: dict[str, float] = {}

    def ask(path: str) -> None:
        sent = time.time()
        try:
            found[path] = api.get(path)
        except ProxmoxError as error:
            failed[path] = error
            return
        if path.endswith("/time"):
            clocks[path] = float(found[path]["time"]) - (sent + time.time()) / 2

    await asyncio.gather(*(asyncio.to_thread(ask, path) for path in dict.fromkeys(paths)))
    return Answers(found, failed, clocks)
