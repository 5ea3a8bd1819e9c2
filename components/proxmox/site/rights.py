"""The privileges that this program's login needs, and which of them it lacks.

Owns the list of needs. Each is asked for by Proxmox's own evaluation (`GET /access/permissions`), which knows of roles,
groups, pools and separated tokens; nothing is computed here. Does not own the login.

What each API method demands is in Proxmox's schema: https://pve.proxmox.com/pve-docs/api-viewer/. Roles are made on
/access (PVE::API2::Role), users on their realm and /access/groups (PVE::API2::User), entries with Permissions.Modify on
their path (PVE::RPCEnvironment, check_perm_modify); a VM is made with privileges on its id or its pool (check_vm_perm);
an image is fetched with Sys.Audit and Sys.Modify on / or Sys.AccessNetwork on the host (PVE::API2::Nodes,
query_url_metadata), and deleted with Datastore.Allocate (PVE::API2::Storage::Content, delete).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.proxmox.site.answers import ACL, ROLES, Answers, privileges
from components.proxmox.site.plan import PlannedSite
from components.proxmox.vm_pool import path_of

_SEEING = "VM.Audit"
"""Needed on each id itself: a guest that is outside the pool would not be seen otherwise."""

VM_PRIVILEGES = (
    "VM.Allocate",
    _SEEING,
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
)
"""What a node's VM is made, changed, started and deleted with."""

ROLE = "Homelab"
"""The role that docs/operations.md has the administrator make for the login."""

Grant = tuple[str, Sequence[str]]
"""A path, and privileges on it."""


@dataclass(frozen=True)
class Need:
    """What one purpose takes: the privileges of one of several grants; the first is the one to ask for."""

    purpose: str
    grants: Sequence[Grant]


def paths(plan: PlannedSite) -> list[str]:
    """The paths on which the login's privileges are to be known."""
    return list(dict.fromkeys(path for need in needs(plan) for path, _ in need.grants))


def needs(plan: PlannedSite) -> Iterator[Need]:
    """Everything that the program needs for a plan."""
    pool = path_of(plan.tag)
    for vm in plan.vms.values():
        own = f"/vms/{vm.vm_id}"
        for privilege in VM_PRIVILEGES:
            if privilege == _SEEING:
                yield Need("to see whether an id is taken", [(own, [privilege])])
            else:
                yield Need("for the nodes' VMs", [(own, [privilege]), (pool, [privilege])])
    for vm_id in plan.reserved:
        yield Need("to see whether an id is taken", [(f"/vms/{vm_id}", [_SEEING])])
    yield Need("for the pool of the VMs", [(pool, ["Pool.Allocate", "Pool.Audit"])])
    for host, planned in plan.hosts.items():
        yield Need("to read its release and its clock", [(f"/nodes/{host}", ["Sys.Audit"])])
        download = (f"/nodes/{host}", ["Sys.AccessNetwork"])
        yield Need("to fetch the image", [("/", ["Sys.Audit", "Sys.Modify"]), download])
        for datastore, contents in planned.datastores.items():
            yield from _of_datastore(f"/storage/{datastore}", contents)
    if plan.volumes is not None:
        yield Need("to list volumes in a destroy", [(f"/storage/{plan.volumes}", ["Datastore.Allocate"])])
    if plan.bridge is not None:
        yield Need("for the nodes' network", [(bridge_path(plan), ["SDN.Use"])])
    if plan.account is not None:
        yield Need("for the storage driver's role", [("/access", ["Sys.Modify"])])
        yield Need("for the storage driver's user", [("/access/realm/pve", ["Realm.AllocateUser"])])
        yield Need("for the storage driver's user", [("/access/groups", ["User.Modify"])])
        for path in plan.account.paths:
            yield Need("to grant the storage driver its rights", [(path, ["Permissions.Modify"])])


def _of_datastore(path: str, contents: Sequence[str]) -> Iterator[Need]:
    if "images" in contents:
        yield Need("for the VMs' disks", [(path, ["Datastore.AllocateSpace", "Datastore.Audit"])])
    if "import" in contents:
        fetched = ["Datastore.Allocate", "Datastore.AllocateTemplate", "Datastore.Audit"]
        yield Need("for the image", [(path, fetched)])


def bridge_path(plan: PlannedSite) -> str:
    """Where the use of the bridge, or of the one VLAN on it, is granted (PVE::GuestHelpers, check_vnet_access)."""
    vlan = "" if plan.vlan is None else f"/{plan.vlan}"
    return f"/sdn/zones/localnetwork/{plan.bridge}{vlan}"


def findings(plan: PlannedSite, answers: Answers, who: str) -> Iterator[str]:
    """One line for all privileges that one command grants; `who` is the login's user or token."""
    lacking: dict[Granting, dict[tuple[str, str], list[str]]] = {}
    for need in needs(plan):
        if missing := _missing(need, answers):
            path, names = missing
            purposes = lacking.setdefault(_granting(answers, who, path), {})
            purposes.setdefault((need.purpose, path), []).extend(names)
    for granting, purposes in lacking.items():
        paths_of: dict[tuple[str, ...], list[str]] = {}
        for (purpose, path), names in purposes.items():
            paths_of.setdefault((purpose, *dict.fromkeys(names)), []).append(path)
        told = [f"{_listed(names)} on {_listed(where)} ({purpose})" for (purpose, *names), where in paths_of.items()]
        privileges = sorted({name for names in purposes.values() for name in names})
        command = granting.command(answers, who, privileges)
        yield f"{_key(who)}: {who} lacks {'; '.join(told)}; grant it: {command}"


def _missing(need: Need, answers: Answers) -> tuple[str, list[str]] | None:
    """The path and privileges to ask for; None if the need is met, or Proxmox did not say."""
    lacks = []
    for path, names in need.grants:
        held = _held(answers, path)
        if held is None:
            return None  # That is reported by itself.
        lacks.append((path, [name for name in names if name not in held]))
    return lacks[0] if all(names for _, names in lacks) else None


def may_see_bridge(plan: PlannedSite, answers: Answers) -> bool:
    """Whether Proxmox shows the login the bridge, if there is one."""
    return "SDN.Use" in (_held(answers, bridge_path(plan)) or {})


def _held(answers: Answers, path: str) -> Mapping[str, Any] | None:
    """The login's privileges on a path; None if Proxmox did not say."""
    given = answers.found.get(privileges(path))
    return None if given is None else dict(given.get(path, {}))


def _entry(answers: Answers, who: str, path: str) -> Mapping[str, Any] | None:
    """The login's entry that counts on a path: the nearest (PVE::AccessControl, roles)."""
    entries = [entry for entry in answers.items(ACL) if entry["ugid"] in (who.partition("!")[0], who)]
    above = [entry for entry in entries if path == entry["path"] or path.startswith(entry["path"].rstrip("/") + "/")]
    return max(above, key=lambda entry: len(entry["path"]), default=None)


@dataclass(frozen=True)
class Granting:
    """What is to grant something: the login's own role, or ROLE beside one that cannot be changed.

    place: where it is to be granted, if it is not: an entry nearer to the path would take the other's place.
    """

    role: str
    place: str | None = None

    def command(self, answers: Answers, who: str, privileges: Sequence[str]) -> str:
        """What an administrator types."""
        known = self.place is None or self.role in {entry["roleid"] for entry in answers.items(ROLES)}
        verb, more = ("modify", " --append 1") if known else ("add", "")
        changed = f'pveum role {verb} {self.role}{more} --privs "{" ".join(privileges)}"'
        if self.place is None:
            return changed
        user, _, token = who.partition("!")
        separated = f" (and --tokens '{who}', if the token's privileges are separated)" if token else ""
        return f"{changed}, then pveum acl modify {self.place} --users {user} --roles {self.role}{separated}"


def _granting(answers: Answers, who: str, path: str) -> Granting:
    entry = _entry(answers, who, path)
    if entry is None:
        return Granting(ROLE, "/")
    special = {role["roleid"] for role in answers.items(ROLES) if int(role.get("special") or 0)}
    if entry["roleid"] in special or entry["roleid"].startswith("PVE"):
        return Granting(ROLE, entry["path"])
    return Granting(entry["roleid"])


def _key(who: str) -> str:
    return "homelab:proxmoxApiToken" if "!" in who else "homelab:proxmoxPassword"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
