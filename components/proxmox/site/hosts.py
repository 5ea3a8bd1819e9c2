"""What each host must have: a release, room, a clock, datastores and the bridge. Owns these rules and their wording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from components.proxmox.site import rights
from components.proxmox.site.answers import CLUSTER, NODES, Answers, bridges, storage, version
from components.proxmox.site.plan import PlannedHost, PlannedSite

LEAST_RELEASE = (8, 4)
"""The first whose `import` datastores take disk images: libpve-storage-perl 8.3.6,
https://github.com/proxmox/pve-storage/blob/master/debian/changelog."""

CLOCK_LIMIT = 300
"""Seconds. A host refuses a ticket that another made further in its future ($auth_graceperiod,
https://github.com/proxmox/pve-access-control/blob/master/src/PVE/AccessControl.pm). A certificate that this machine
makes is valid from its own time on, and a node, which starts with its host's, refuses it until then (NotBefore,
https://github.com/siderolabs/crypto/blob/v0.6.4/x509/options.go)."""

MIB = 2**20


def findings(plan: PlannedSite, answers: Answers) -> Iterator[str]:
    """Everything that the hosts lack, one line for each."""
    yield from _quorum(answers)
    there = {entry["node"]: entry for entry in answers.items(NODES)}
    for name, host in plan.hosts.items():
        if there and name not in there:
            yield f"homelab:site.hosts.{name}: the site has no host {name}; it has {_listed(there)}; correct the name"
        elif there and there[name].get("status") != "online":
            yield (
                f"homelab:site.hosts.{name}: the host is {there[name].get('status', 'unknown')}; start it, or move its "
                "nodes to another host"
            )
        elif there:
            yield from _release(name, answers)
            yield from _room(name, host, there[name])
            yield from _datastores(plan, name, host, answers)
            yield from _bridge(plan, name, answers)
    yield from _clocks(answers.clocks)


def _quorum(answers: Answers) -> Iterator[str]:
    for entry in answers.items(CLUSTER):
        if entry.get("type") == "cluster" and not entry.get("quorate"):
            off = [each["name"] for each in answers.items(CLUSTER) if each["type"] == "node" and not each.get("online")]
            yield (
                f"homelab:site.endpoint: the Proxmox cluster {entry.get('name')} has no quorum, so it refuses every "
                f"change; start the hosts that are off ({_listed(off)})"
            )


def _release(name: str, answers: Answers) -> Iterator[str]:
    running = str((answers.found.get(version(name)) or {}).get("version", ""))
    numbers = tuple(int(part) for part in running.split("-")[0].split(".")[:2] if part.isdecimal())
    if len(numbers) == len(LEAST_RELEASE) and numbers < LEAST_RELEASE:
        least = ".".join(map(str, LEAST_RELEASE))
        yield (
            f"homelab:site.hosts.{name}: it runs Proxmox VE {running}, which takes no disk images as `import`; upgrade "
            f"it to {least} or newer"
        )


def _room(name: str, host: PlannedHost, entry: Mapping[str, Any]) -> Iterator[str]:
    """What the settings say that the host has, against what Proxmox says."""
    cores, memory = int(entry.get("maxcpu") or 0), int(entry.get("maxmem") or 0) // MIB
    if cores and host.cores is not None and host.cores > cores:
        yield (
            f"homelab:site.hosts.{name}.cores: {host.cores} are more than the {cores} threads that the host has; give "
            f"{cores} or fewer"
        )
    if memory and host.memory is not None and host.memory > memory:
        yield (
            f"homelab:site.hosts.{name}.memory: {host.memory} MiB are more than the {memory} MiB that the host has; "
            "give less, and leave some to the host itself"
        )


def _datastores(plan: PlannedSite, name: str, host: PlannedHost, answers: Answers) -> Iterator[str]:
    if storage(name) not in answers.found:
        return
    listed = {entry["storage"]: entry for entry in answers.items(storage(name))}
    usable = {store: entry for store, entry in listed.items() if int(entry.get("enabled", 1))}
    for store, contents in host.datastores.items():
        where = f"homelab:site.hosts.{name}: datastore {store}"
        if store not in usable:
            why = "is disabled, or not for this host" if store in listed else "does not exist"
            yield (
                f"{where} {why}; the host has {_listed(usable)}; correct homelab:site.hosts.{name} or "
                "homelab:storage.datastore, or create it"
            )
            continue
        entry = usable[store]
        if not int(entry.get("active", 1)):
            yield f"{where} is not active; bring it back: pvesm status --storage {store} (on {name}) says why it is not"
        offered = [content for content in entry.get("content", "").split(",") if content]
        if missing := [content for content in contents if content not in offered]:
            yield (
                f"{where} does not take content type {_and(missing)}; allow it: "
                f"pvesm set {store} --content {','.join([*offered, *missing])}"
            )
        if "import" in contents:
            yield from image_store(plan.shared, name, entry)


def image_store(shared: frozenset[str], host: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """A finding unless Proxmox and the settings agree on whether hosts share a datastore for images."""
    name = entry["storage"]
    if entry.get("shared") and name not in shared:
        yield (
            f"homelab:site.sharedImageDatastores: datastore {name} on host {host} is shared in Proxmox, where one file "
            f"of it would be taken for one on each host, and be deleted for all of them with the first; add {name} to "
            "homelab:site.sharedImageDatastores"
        )
    if name in shared and not entry.get("shared"):
        yield (
            f"homelab:site.sharedImageDatastores: datastore {name} on host {host} is not shared in Proxmox, so each "
            f"host has its own; remove {name} from homelab:site.sharedImageDatastores, or, if it is one: "
            f"pvesm set {name} --shared 1"
        )


def _bridge(plan: PlannedSite, name: str, answers: Answers) -> Iterator[str]:
    """Proxmox hides a bridge from who may not use it, so without that right it is not called missing.

    A plain bridge carries a VLAN too, if it has a network card: Proxmox makes another bridge for the VLAN there
    (activate_bridge_vlan, https://github.com/proxmox/pve-common/blob/master/src/PVE/Network.pm).
    """
    if plan.bridge is None or bridges(name) not in answers.found:
        return
    known = {entry["iface"]: entry for entry in answers.items(bridges(name))}
    bridge = known.get(plan.bridge)
    if bridge is None:
        if rights.may_see_bridge(plan, answers):
            yield (
                f"homelab:site.bridge: host {name} has no bridge {plan.bridge}; it has {_listed(known)}; correct it, "
                "or create it on that host"
            )
        return
    if bridge["type"] != "bridge":
        return  # Open vSwitch carries any VLAN; a network of SDN has its own.
    if not int(bridge.get("active") or 0):
        yield (
            f"homelab:site.bridge: {plan.bridge} is configured on host {name} and not active; activate it there: "
            "ifreload -a"
        )
    ports = str(bridge.get("bridge_ports") or "none")
    if plan.vlan is not None and ports == "none" and not int(bridge.get("bridge_vlan_aware") or 0):
        yield (
            f"homelab:site.vlan: {plan.vlan} needs a bridge that is VLAN-aware or has a network card, and "
            f"{plan.bridge} on host {name} is neither; set bridge-vlan-aware yes for it in /etc/network/interfaces, "
            "then ifreload -a"
        )


def _clocks(ahead: Mapping[str, float]) -> Iterator[str]:
    off = {host for host, seconds in ahead.items() if abs(seconds) > CLOCK_LIMIT}
    for host in off:
        side = "ahead of" if ahead[host] > 0 else "behind"
        yield (
            f"homelab:site.hosts.{host}: its clock is {_tens(ahead[host])} s {side} this machine's, and "
            f"certificates and logins tolerate {CLOCK_LIMIT} s; set the wrong one of the two (chronyc tracking says "
            "how a host keeps its time)"
        )
    for one, other in combinations(sorted(set(ahead) - off), 2):
        if abs(apart := ahead[one] - ahead[other]) > CLOCK_LIMIT:
            yield (
                f"homelab:site.hosts.{one}: its clock and that of {other} are {_tens(apart)} s apart, and hosts "
                f"accept each other's logins up to {CLOCK_LIMIT} s; have both keep the same time (chronyc tracking)"
            )


def _tens(seconds: float) -> int:
    """A host answers in whole seconds, some time after it was asked."""
    return round(abs(seconds) / 10) * 10


def _listed(names: Mapping[str, Any] | list[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _and(names: list[str]) -> str:
    return " and ".join(names)
