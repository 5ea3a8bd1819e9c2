# SPDX-License-Identifier: AGPL-3.0-or-later
# This file reads and writes objects of fakepve, which is under that licence.
"""Keeps the simulated cluster in a file, so that a stop or a crash of the process does not lose it.

Kept: VMs without their snapshots, pools, volumes, roles, users, tokens, access control. Not kept: sessions, tasks,
faults, the list of requests, and VMs whose creation had not ended.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from fakepve.model import FakeVm

from lab.proxmox.cluster import LabPve
from lab.proxmox.storage import parts_of

SAVE_SECONDS = 0.1
"""How long a change waits for others before all are written."""

VERSION = 1
_VM_FIELDS = ("vmid", "name", "node", "status", "qmpstatus", "config", "pending", "template", "lock", "started_at")
_ACCESS_FIELDS = ("users", "accounts", "account_tokens", "apitokens", "acls")


class StateFile:
    """The file, and the timer that writes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._timer: asyncio.TimerHandle | None = None
        self._pve: LabPve | None = None

    def changed(self) -> None:
        """Write soon."""
        if self._timer is None and self._pve is not None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_SECONDS, self.save)

    def save(self) -> None:
        """Write now, in one step, readable by the owner only."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pve is None:
            return
        scratch = self._path.with_suffix(".new")
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(dump(self._pve), file)
        scratch.rename(self._path)

    def load(self, pve: LabPve) -> None:
        """Fill a new cluster from the file, if there is one.

        Raises:
            ValueError: if the file is not one of ours.
        """
        if self._path.exists():
            try:
                restore(pve, json.loads(self._path.read_text()))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{self._path} cannot be used ({error}): remove it to start empty") from None

    def keep(self, pve: LabPve) -> None:
        """Write the state of this cluster from now on. Not before it serves: another process may own the file."""
        self._pve = pve


def dump(pve: LabPve) -> dict[str, Any]:
    """The state as JSON values."""
    full = {active.fault.storage for active in pve.faults.values() if active.fault.kind == "full"}
    storages = {
        sid: {
            node: {"volumes": part["volumes"]}
            | ({} if sid in full or "avail" not in part else {"avail": part["avail"]})
            for node, part in parts_of(store).items()
        }
        for sid, store in pve.storages.items()
    }
    vms = [{name: getattr(vm, name) for name in _VM_FIELDS} for vm in pve.vms if vm.lock not in ("create", "clone")]
    access = {name: getattr(pve, name) for name in _ACCESS_FIELDS}
    roles = {name: sorted(privs) for name, privs in pve.roles.items()}
    return {"version": VERSION, "vms": vms, "pools": pools(pve), "storages": storages, "roles": roles, "access": access}


def pools(pve: LabPve) -> dict[str, dict[str, Any]]:
    """Each pool's comment and members by name, as JSON values."""
    return {
        name: {
            "comment": pve.pool_info[name]["comment"],
            "vms": sorted(members),
            "storage": sorted(pve.pool_info[name]["storage"]),
        }
        for name, members in sorted(pve.pools.items())
    }


def restore(pve: LabPve, kept: dict[str, Any]) -> None:
    """Put kept state into a new cluster. Users and tokens of the configuration win over kept ones."""
    if kept["version"] != VERSION:
        raise ValueError(f"version {kept['version']}, not {VERSION}")
    for sid, parts in kept["storages"].items():
        if sid in pve.storages:
            here = parts_of(pve.storages[sid])
            for node in parts.keys() & here.keys():
                here[node].update(parts[node])
    for fields in kept["vms"]:
        vm = FakeVm(fields["vmid"], fields["name"], node=fields["node"])
        vm.__dict__.update(fields)
        pve.vms.append(vm)
    for name, about in kept.get("pools", {}).items():
        pve.pools[name] = set(about["vms"])
        pve.pool_info[name] = {"comment": about["comment"], "storage": set(about["storage"])}
    pve._sync_pools()
    pve.roles = {name: set(privs) for name, privs in kept["roles"].items()}
    for name in _ACCESS_FIELDS:
        value = kept["access"][name]
        setattr(pve, name, {**value, **getattr(pve, name)} if isinstance(value, dict) else value)
