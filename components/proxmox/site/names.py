"""What must be free at a site, or this stack's own: ids and names of VMs, the pool, the storage driver's account.

Owns these rules and their wording. What carries the stack's tag or comment is its own, left by a run of it, and none of
a rule's business here: whether it can be taken back is decided when it is made (`hooks.py`, `account_leftovers.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.proxmox.site.answers import ACL, POOLS, ROLES, USERS, Answers, carries, disks
from components.proxmox.site.plan import PlannedAccount, PlannedSite
from components.proxmox.vm_update import PlannedVm, elsewhere


def findings(plan: PlannedSite, answers: Answers) -> Iterator[str]:
    """Everything that somebody else has, one line for each."""
    guests = answers.guests
    for name, vm in plan.vms.items():
        if vm.vm_id in guests:
            yield from taken(plan.tag, name, vm, guests[vm.vm_id])
        else:
            yield from _disks_left(plan, name, vm, answers)
        for vm_id, guest in guests.items():
            if guest.get("name") == name and vm_id != vm.vm_id and not carries(guest, plan.tag):
                yield (
                    f"homelab:nodes.{name}: {described(guest)} has that name and is not this stack's: it lacks the tag "
                    f"{plan.tag}; give the node another name, or rename that one: qm set {vm_id} --name <name>"
                )
    for vm_id, reason in plan.reserved.items():
        if vm_id in guests:
            command = "pct" if guests[vm_id].get("type") == "lxc" else "qm"
            yield (
                f"homelab:storage: {described(guests[vm_id])} has an id that {reason}. Deleted with its unreferenced "
                f"disks, it would take every volume along; before there are any, give it another id: {command} clone "
                f"{vm_id} <id>, then {command} destroy {vm_id}"
            )
    yield from _pool(plan, answers)
    if plan.account is not None and not answers.ours(plan.tag):
        yield from _account(plan.account, answers)


def described(guest: Mapping[str, Any]) -> str:
    """A guest, as a person finds it in Proxmox."""
    kind = "container" if guest.get("type") == "lxc" else "template" if int(guest.get("template") or 0) else "VM"
    name, state = guest.get("name", "unnamed"), guest.get("status", "unknown")
    return f"{kind} {guest['vmid']} ({name!r} on host {guest['node']}, {state})"


def taken(tag: str, name: str, planned: PlannedVm, guest: Mapping[str, Any]) -> Iterator[str]:
    """A finding unless the guest with a node's id is this stack's VM of that node, on the planned host."""
    where = f"homelab:nodes.{name}.vmId"
    if not carries(guest, tag):
        yield (
            f"{where}: {described(guest)} is not this stack's: it lacks the tag {tag}. It was not touched. "
            f"Give {name} another vmId in homelab:nodes, or remove that one yourself"
        )
    elif guest["node"] != planned.host:
        yield f"homelab:nodes.{name}.host: {elsewhere(name, planned, guest['node'])}"
    elif guest.get("name") != name:
        yield (
            f"{where}: {described(guest)} is this stack's, under another name than {name}. It was not touched. A node "
            f"with another name is another node: give {name} a vmId and an address of its own in homelab:nodes, or "
            "remove the old one first, by a `pulumi up` without either"
        )


def _disks_left(plan: PlannedSite, name: str, vm: PlannedVm, answers: Answers) -> Iterator[str]:
    """Disks belong to the VM whose id is in their name, also one that is made later.

    This program deletes a VM with all that bear its id, `destroy-unreferenced-disks` (`vm_command.py`). Those on a
    shared datastore are seen on each host.
    """
    found = {
        str(entry["volid"]): host
        for host, planned in plan.hosts.items()
        for datastore in planned.datastores
        for entry in answers.items(disks(host, datastore))
        if int(entry.get("vmid") or 0) == vm.vm_id
    }
    if found:
        left = ", ".join(f"{volume} (on {host})" for volume, host in sorted(found.items()))
        yield (
            f"homelab:nodes.{name}.vmId: no guest has the id {vm.vm_id}, but disks of one that had it are left, and "
            f"would be deleted with the node's VM: {left}; give {name} another vmId, or delete each: pvesm free <disk>"
        )


def _pool(plan: PlannedSite, answers: Answers) -> Iterator[str]:
    comments = {entry["poolid"]: str(entry.get("comment") or "") for entry in answers.items(POOLS)}
    if plan.tag not in comments:
        return
    members = [guest for guest in answers.guests.values() if guest.get("pool") == plan.tag]
    foreign = [described(guest) for guest in members if not carries(guest, plan.tag)]
    if comments[plan.tag] != plan.pool_comment:
        yield (
            f"pool {plan.tag}: is in Proxmox already and is not this stack's (its comment: "
            f"{comments[plan.tag] or 'none'}); take its members out and delete it: pvesh delete /pools --poolid "
            f"{plan.tag}; or give the stack another name"
        )
    elif foreign:
        ids = ",".join(str(guest["vmid"]) for guest in members if not carries(guest, plan.tag))
        yield (
            f"pool {plan.tag}: {', '.join(foreign)} is in it, and it is for this stack's VMs alone: the storage "
            f"driver may change the disks of all in it; take it out: pvesh set /pools --poolid {plan.tag} --vms {ids} "
            "--delete 1"
        )


def _account(account: PlannedAccount, answers: Answers) -> Iterator[str]:
    """A stack that was never made there has no account; one of an `up` that was killed carries its comment."""
    user = f"{account.name}@pve"
    comments = {entry["userid"]: str(entry.get("comment") or "") for entry in answers.items(USERS)}
    if user in comments and comments[user] != account.comment:
        yield (
            f"homelab:cluster.name: user {user} is in Proxmox already and is not this stack's (its comment: "
            f"{comments[user] or 'none'}); give the cluster another name, or, if nothing uses the user: "
            f"pveum user delete {user}"
        )
    roles = {entry["roleid"]: {*str(entry.get("privs") or "").split(",")} - {""} for entry in answers.items(ROLES)}
    holders = sorted({entry["ugid"] for entry in answers.items(ACL) if entry["roleid"] == account.name} - {user})
    if account.name in roles and (roles[account.name] != {*account.privileges} or holders):
        of = f", which {', '.join(holders)} has," if holders else " with other privileges"
        yield (
            f"homelab:cluster.name: role {account.name}{of} is in Proxmox already; give the cluster another name, or, "
            f"if nothing uses the role: pveum role delete {account.name}"
        )
