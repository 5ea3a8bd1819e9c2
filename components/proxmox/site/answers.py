"""Answers of Proxmox about a site, by the path of their request. Owns the paths and how an answer is read.

Answers have the form that the API documents: https://pve.proxmox.com/pve-docs/api-viewer/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from components.proxmox.api import ProxmoxError

NODES, GUESTS, CLUSTER = "/nodes", "/cluster/resources?type=vm", "/cluster/status"
POOLS, USERS, ROLES, ACL = "/pools", "/access/users", "/access/roles", "/access/acl"

FORBIDDEN = 403


class Api(Protocol):
    """What is needed of `ProxmoxApi`."""

    endpoint: str
    who: str

    def get(self, path: str) -> Any:
        """The `data` of an answer; raises ProxmoxError."""


@dataclass(frozen=True)
class Answers:
    """Answers by the path of their request.

    failed: those that did not come, each with the error. clocks: seconds by which a host's clock is ahead.
    """

    found: Mapping[str, Any]
    failed: Mapping[str, ProxmoxError] = field(default_factory=dict)
    clocks: Mapping[str, float] = field(default_factory=dict)

    def items(self, path: str) -> list[Mapping[str, Any]]:
        """A list that was asked for; empty if it did not come."""
        return list(self.found.get(path) or [])

    @property
    def guests(self) -> dict[int, Mapping[str, Any]]:
        """VMs, templates and containers that the login sees, by id."""
        return {int(entry["vmid"]): entry for entry in self.items(GUESTS)}

    def ours(self, tag: str) -> dict[int, Mapping[str, Any]]:
        """The VMs of the stack that the tag marks, by id."""
        return {vm_id: vm for vm_id, vm in self.guests.items() if carries(vm, tag)}


def carries(guest: Mapping[str, Any], tag: str) -> bool:
    """Whether a guest carries a tag; Proxmox separates them by semicolons, and accepts commas and spaces."""
    return tag in re.split("[;, ]", guest.get("tags") or "")


def storage(host: str) -> str:
    """The path of a host's datastores."""
    return f"/nodes/{host}/storage"


def disks(host: str, datastore: str) -> str:
    """The path of the VM disks on a host's datastore."""
    return f"{storage(host)}/{datastore}/content?content=images"


def bridges(host: str) -> str:
    """The path of a host's bridges, those of other kinds than Linux's and of SDN among them."""
    return f"/nodes/{host}/network?type=any_bridge"


def version(host: str) -> str:
    """The path of a host's release."""
    return f"/nodes/{host}/version"


def clock(host: str) -> str:
    """The path of a host's time."""
    return f"/nodes/{host}/time"


def privileges(path: str) -> str:
    """The path of the login's own privileges on a path of access control."""
    return f"/access/permissions?path={quote(path)}"
