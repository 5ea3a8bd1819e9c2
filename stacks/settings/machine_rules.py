"""The rules about machines: roles, hosts and their capacity, IDs, releases, and what Longhorn requires of workers.

Owns those rules; `rules` runs them together with the others. Each is a generator of findings over settings whose types
and formats have already been checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from components.kit.spelling import did_you_mean
from components.storage import longhorn_node
from components.storage.csi_volume_names import CSI_VM_ID
from components.talos.releases import KUBERNETES_BY_TALOS, minor_version
from stacks.settings.machines import WORKER_MEMORY, Node
from stacks.settings.model import Settings

Findings = Iterator[tuple[tuple[str | int, ...], str]]
"""The location of a value and what is wrong with it."""

CONTROL_PLANE_MEMORY = 2048
"""MiB that Talos requires.

From https://docs.siderolabs.com/talos/v1.13/getting-started/system-requirements.
"""


def _roles(settings: Settings) -> Findings:
    names = list(settings.control_planes)
    if not names:
        yield ("nodes",), "no node has the role controlplane; give it to one node, or to three"
    elif len(names) % 2 == 0:
        yield (
            ("nodes",),
            f"{len(names)} control planes ({', '.join(names)}); etcd needs an odd number, because an even "
            "one tolerates no more failures; add or remove one",
        )
    for name, node in settings.control_planes.items():
        if node.memory < CONTROL_PLANE_MEMORY:
            yield (
                ("nodes", name, "memory"),
                f"{node.memory} MiB is less than the {CONTROL_PLANE_MEMORY} MiB that Talos requires on a control "
                f"plane; give {CONTROL_PLANE_MEMORY} or more",
            )
    for name, node in settings.nodes.items():
        if node.vm_id == CSI_VM_ID:
            yield (
                ("nodes", name, "vmId"),
                f"{CSI_VM_ID} is the VM ID under which the Proxmox CSI driver keeps its volumes; choose another",
            )


def _authority(settings: Settings) -> Findings:
    if settings.site.ca is not None and settings.site.insecure:
        yield (
            ("site", "insecure"),
            "true, so site.ca has no effect; set this to false, or remove site.ca",
        )


def _hosts(settings: Settings) -> Findings:
    known = list(settings.site.hosts)
    for name, node in settings.nodes.items():
        if node.host not in known:
            remedy = did_you_mean(node.host, known) or f"choose one of {', '.join(known)}, or add it"
            yield ("nodes", name, "host"), f"{node.host!r} is not in site.hosts; {remedy}"


def _shared_datastores(settings: Settings) -> Findings:
    known = sorted({host.image_datastore for host in settings.site.hosts.values()})
    for position, name in enumerate(settings.site.shared_image_datastores):
        if name not in known:
            remedy = did_you_mean(name, known) or f"choose one of {', '.join(known)}, or remove it"
            yield (
                ("site", "sharedImageDatastores", position),
                f"{name!r} is not the imageDatastore of any host; {remedy}",
            )


def _capacity(settings: Settings) -> Findings:
    for name, host in settings.site.hosts.items():
        guests = {node_name: node for node_name, node in settings.nodes.items() if node.host == name}
        for node_name, node in guests.items():
            if node.cores > host.cores:
                yield (
                    ("nodes", node_name, "cores"),
                    f"{node.cores} cores are more than the {host.cores} of host {name}, and Proxmox will not start "
                    f"such a VM; give {host.cores} or fewer",
                )
        memory = sum(node.memory for node in guests.values())
        if memory > host.memory:
            yield (
                ("site", "hosts", name, "memory"),
                f"its nodes ({', '.join(guests)}) need {memory} MiB in total, the host has {host.memory} MiB for "
                f"VMs; reduce them by {memory - host.memory} MiB, or move a node to another host",
            )
        disk = sum(_disk(settings, node) for node in guests.values())
        raw = ", including Longhorn's raw disks" if disk > sum(node.disk for node in guests.values()) else ""
        if host.disk is not None and disk > host.disk:
            yield (
                ("site", "hosts", name, "disk"),
                f"its nodes ({', '.join(guests)}) need {disk} GiB in total{raw}, the host has {host.disk} "
                f"GiB for VMs; reduce them by {disk - host.disk} GiB, or move a node to another host",
            )


def _unique(settings: Settings) -> Findings:
    for key, noun in (("vmId", "VM ID"), ("mac", "MAC address")):
        owners: dict[object, str] = {}
        for name, node in settings.nodes.items():
            value = node.vm_id if key == "vmId" else node.mac
            if value in owners:
                yield ("nodes", name, key), f"{value} is already the {noun} of {owners[value]}; choose another"
            owners.setdefault(value, name)


def _versions(settings: Settings) -> Findings:
    versions = settings.versions
    talos, kubernetes = minor_version(versions.talos), minor_version(versions.kubernetes)
    supported = KUBERNETES_BY_TALOS.get(talos)
    if supported is None:
        known = ", ".join(f"v{major}.{minor}" for major, minor in KUBERNETES_BY_TALOS)
        yield (
            ("versions", "talos"),
            f"{versions.talos} is not a Talos release that this program supports; choose one of {known}",
        )
    elif kubernetes[0] != 1 or not supported[0] <= kubernetes[1] <= supported[1]:
        yield (
            ("versions", "kubernetes"),
            f"{versions.kubernetes} is not supported by Talos {versions.talos}; choose a release from "
            f"v1.{supported[0]} to v1.{supported[1]}, or another Talos release",
        )


def _longhorn(settings: Settings) -> Findings:
    if not settings.features.longhorn_v2:
        return
    if not settings.workers:
        yield (
            ("features", "longhornV2"),
            f"true needs a worker, where the engine reserves {longhorn_node.ENGINE_CORES} cores for itself; add a "
            "worker, or set this to false",
        )
    least_memory = WORKER_MEMORY + longhorn_node.HUGE_PAGES
    for name, node in settings.workers.items():
        if node.cores < longhorn_node.LEAST_CORES:
            yield (
                ("nodes", name, "cores"),
                f"{node.cores} cores are too few for features.longhornV2, whose engine reserves "
                f"{longhorn_node.ENGINE_CORES} for itself and may use {longhorn_node.MOST_CPU_PERCENT} % at most; "
                f"give {longhorn_node.LEAST_CORES} or more, or set features.longhornV2 to false",
            )
        if node.memory < least_memory:
            yield (
                ("nodes", name, "memory"),
                f"{node.memory} MiB is too little for features.longhornV2, which reserves {longhorn_node.HUGE_PAGES} "
                f"MiB of it for huge pages; give {least_memory} or more, or set features.longhornV2 to false",
            )


RULES: Final = (_roles, _authority, _hosts, _shared_datastores, _capacity, _unique, _versions, _longhorn)
"""In the order in which their findings are reported."""


def _disk(settings: Settings, node: Node) -> int:
    """Total GiB of a node's disks."""
    return node.disk + (settings.data_disk(node) or 0)
