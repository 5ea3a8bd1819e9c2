"""Longhorn with its V2 data engine: replicated volumes on disks of the workers themselves. Off by default.

Owns the namespace, the Helm release and a storage class that is not the default one. Does not own what it needs from
the machines: kernel modules, huge pages, system extensions, kubelet's mounts and a raw disk, which `longhorn_node.py`
names and the site and cluster layers provide. Must exist before: the pod network, and all of that.

What it costs, used or not: on every worker the engine polls its disks on `ENGINE_CORES` cores, which are at 100 % all
the time, and holds 2 GiB of memory as huge pages. Proxmox CSI costs neither; use Longhorn where a volume must survive
the host that it is on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.references import StorageClassReference
from components.kit.versions import LONGHORN
from components.storage.longhorn_node import ENGINE_CORES, LEAST_CORES, MOST_CPU_PERCENT, reserved_percent
from components.storage.storage_class import StorageClass, StorageClassArgs

MOST_REPLICAS = 3


@dataclass(frozen=True, kw_only=True)
class LonghornArgs:
    """Arguments of `Longhorn`.

    workers: how many nodes run it. cores: of the smallest of them.
    disk: path of the raw block device on each worker that holds the volumes.
    """

    charts: ChartSource
    workers: int
    cores: int
    disk: str

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError("workers: 0; Longhorn keeps volumes on workers, so there must be at least one")
        if self.cores < LEAST_CORES:
            raise ValueError(
                f"cores: Longhorn's engine takes {ENGINE_CORES} of a worker's {self.cores}, and may have no more than "
                f"{MOST_CPU_PERCENT} %; give each worker {LEAST_CORES} or more"
            )
        if not self.disk.startswith("/dev/"):
            raise ValueError(
                f"disk: {self.disk!r} is not a block device, and the V2 engine uses nothing else; name one"
            )


class Longhorn(pulumi.ComponentResource):
    """Volumes that are replicated between workers."""

    storage_class: StorageClassReference
    """The class `longhorn-v2`."""

    def __init__(self, name: str, args: LonghornArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:storage:Longhorn", name, None, opts)
        # Its pods use the host's devices, mounts and processes.
        namespace = make_namespace(f"{name}-namespace", "longhorn-system", "privileged", parent=self)
        release = args.charts.install(
            LONGHORN,
            name,
            parent=self,
            name="longhorn",
            namespace=namespace.metadata.name,
            values=_values(args),
            delete="15m",
        )
        self.storage_class = StorageClass(
            "longhorn-v2",
            StorageClassArgs(
                provisioner="driver.longhorn.io",
                parameters={
                    "dataEngine": "v2",
                    "numberOfReplicas": str(min(MOST_REPLICAS, args.workers)),
                    "fsType": "ext4",
                },
                default=False,
                reclaim="Retain",
                after=release,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        ).reference
        self.register_outputs({"storage_class": self.storage_class.name})


def _values(args: LonghornArgs) -> dict[str, Any]:
    configured = values("longhorn")
    configured["defaultSettings"] |= {
        "defaultDataPath": args.disk,
        # Per-engine settings are JSON in a string.
        "dataEngineCPUMask": json.dumps({"v2": hex((1 << ENGINE_CORES) - 1)}),
        # The value for v1 is the chart's default; that engine is off.
        "guaranteedInstanceManagerCPU": json.dumps({"v1": "12", "v2": str(reserved_percent(args.cores))}),
    }
    return configured
