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

VM_PRIVILEGES = (
    "VM.Allocate",
    "VM.Audit",
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
        yield Need("to see whether an id is taken", [(own, ["VM.Audit"])])
        for privilege in VM_PRIVILEGES[:1] + VM_PRIVILEGES[2:]:
            yield Need("for the nodes' VMs", [(own, [privilege]), (pool, [privilege])])
    for vm_id in plan.reserved:
        yield Need("to see whether an id is taken", [(f"/vms/{vm_id}", ["VM.Audit"])])
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
    """One line for the privileges that the login lacks for one purpose; `who` is its user or token."""
    lacking: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for need in needs(plan):
        held = [(path, _held(answers, path)) for path, _ in need.grants]
        if any(rights is None for _, rights in held):
            continue  # It was not answered, and that is reported.
        missing = [
            (path, [name for name in names if name not in (rights or {})])
            for (path, names), (_, rights) in zip(need.grants, held, strict=True)
        ]
        if all(names for _, names in missing):
            path, names = missing[0]
            lacking.setdefault((need.purpose, tuple(names)), {})[path] = None
    for purpose, per_paths in _by_purpose(lacking).items():
        for where, names in per_paths.items():
            yield (
                f"{_key(who)}: {who} lacks {_listed(names)} on {_listed(where)}, {purpose}; "
                f"grant it: {_command(answers, who, where[0], names)}"
            )


def _by_purpose(
    lacking: Mapping[tuple[str, tuple[str, ...]], Iterable[str]],
) -> dict[str, dict[tuple[str, ...], list[str]]]:
    """Privileges that are missing for one purpose on the same paths, together."""
    joined: dict[str, dict[tuple[str, ...], list[str]]] = {}
    for (purpose, names), where in lacking.items():
        joined.setdefault(purpose, {}).setdefault(tuple(where), []).extend(names)
    return joined


def may_see_bridge(plan: PlannedSite, answers: Answers) -> bool:
    """Whether Proxmox shows the login the bridge, if there is one."""
    return "SDN.Use" in (_held(answers, bridge_path(plan)) or {})


def _held(answers: Answers, path: str) -> Mapping[str, Any] | None:
    """The login's privileges on a path; None if Proxmox did not say."""
    given = answers.found.get(privileges(path))
    return None if given is None else dict(given.get(path, {}))


def _command(answers: Answers, who: str, path: str, names: Sequence[str]) -> str:
    """What grants the privileges: to the login's role where it has one of its own, else by a further role.

    A role beside the one that counts is granted where that is: an entry nearer to the path would take its place
    (PVE::AccessControl, roles).
    """
    user, _, token = who.partition("!")
    entries = [entry for entry in answers.items(ACL) if entry["ugid"] in (user, who)]
    above = [entry for entry in entries if path == entry["path"] or path.startswith(entry["path"].rstrip("/") + "/")]
    nearest = max(above, key=lambda entry: len(entry["path"]), default=None)
    special = {role["roleid"] for role in answers.items(ROLES) if int(role.get("special") or 0)}
    missing = " ".join(names)
    if nearest is not None and nearest["roleid"] not in special and not nearest["roleid"].startswith("PVE"):
        return f'pveum role modify {nearest["roleid"]} --append 1 --privs "{missing}"'
    place = nearest["path"] if nearest is not None else "/"
    separated = f" (and --tokens '{who}', if the token's privileges are separated)" if token else ""
    return (
        f'pveum role add {ROLE} --privs "{missing}" (or, if there is one: pveum role modify {ROLE} --append 1 '
        f'--privs "{missing}"), and pveum acl modify {place} --users {user} --roles {ROLE}{separated}'
    )


def _key(who: str) -> str:
    return "homelab:proxmoxApiToken" if "!" in who else "homelab:proxmoxPassword"


def _listed(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
