"""What Longhorn's V2 data engine requires of the machines that it runs on.

Owns the figures and names that settings, VMs, Talos and the release share; the release is `longhorn.py`. Owns no
resource, and must be importable without Pulumi, as the settings are validated with it.
https://longhorn.io/docs/1.12.1/deploy/install/#v2-data-engine-requirements
"""

from __future__ import annotations

import math

ENGINE_CORES = 2
"""Cores of each worker that the engine takes for itself: Longhorn's default and recommended minimum since 1.12, as
a single core for both I/O and management stalls under load."""

MOST_CPU_PERCENT = 40
"""Longhorn refuses to reserve a larger share of a node's cores."""

NOT_ALLOCATABLE = 0.5
"""Cores, generously estimated, that kubelet and Talos reserve on a node: Longhorn calculates with the rest."""

LEAST_CORES = math.ceil(100 * ENGINE_CORES / MOST_CPU_PERCENT + NOT_ALLOCATABLE)
"""Cores that a worker must have at least."""

HUGE_PAGES = 2048
"""MiB of a worker's memory that the engine holds as huge pages, used or not."""

SYSCTLS = {"vm.nr_hugepages": str(HUGE_PAGES // 2)}
"""Pages of 2 MiB, for workers alone."""

DISK = 100
"""GiB of each worker's raw disk: the V2 engine uses no file system."""

KERNEL_MODULES = ("nvme_tcp", "vfio_pci", "uio_pci_generic")

KUBELET_MOUNT = "/var/lib/longhorn"

EXTENSIONS = ("siderolabs/iscsi-tools", "siderolabs/util-linux-tools")
"""https://longhorn.io/docs/1.12.1/advanced-resources/os-distro-specific/talos-linux-support/"""


def reserved_percent(cores: int) -> int:
    """The percentage of a worker's cores that Longhorn reserves, so that the engine has the cores that it polls on."""
    return math.ceil(100 * ENGINE_CORES / (cores - NOT_ALLOCATABLE))
