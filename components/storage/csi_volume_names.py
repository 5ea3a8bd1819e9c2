"""What the volumes of one cluster are called in Proxmox, so that no other cluster's are taken for them.

Owns the prefixes that the CSI sidecars are given, and the test whether a volume is the cluster's. Owns no resource.

Proxmox CSI calls a volume `vm-9999-<name>`, where the sidecar csi-provisioner chooses the name: by default `pvc-<UUID
of the claim>`, which does not say whose it is. Here the prefix contains the cluster's name, and the UUID stays whole:
`vm-9999-pvc-lab-<UUID>` is never a volume of `lab-2`, nor the reverse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CSI_VM_ID = 9999
"""The non-existent VM that owns every volume: the driver's default, kept so that its documentation applies."""

LONGEST_CLUSTER_NAME = 32
"""Characters. The longest volume name then has 86; LVM allows 127, counting each hyphen twice and the volume group's
name before it (lvcreate of LVM 2), ZFS 255 for the whole path (ZFS_MAX_DATASET_NAME_LEN)."""

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class VolumeNames:
    """The names of volumes and snapshots of the cluster `cluster`."""

    cluster: str

    def __post_init__(self) -> None:
        if len(self.cluster) > LONGEST_CLUSTER_NAME:
            raise ValueError(
                f"cluster name {self.cluster!r}: {len(self.cluster)} characters are too many for the names of its "
                f"volumes on LVM; take {LONGEST_CLUSTER_NAME} or fewer"
            )

    @property
    def volume_prefix(self) -> str:
        """For csi-provisioner's `--volume-name-prefix`; PersistentVolume names start with it too."""
        return f"pvc-{self.cluster}"

    @property
    def snapshot_prefix(self) -> str:
        """For csi-snapshotter's `--snapshot-name-prefix`; a snapshot is a volume of its own."""
        return f"snapshot-{self.cluster}"

    def owns(self, volume: str) -> bool:
        """Whether `volume` is this cluster's.

        It is a Proxmox volume id such as `local-zfs:vm-9999-pvc-lab-<UUID>` or, on a file-based datastore,
        `nfs:9999/vm-9999-pvc-lab-<UUID>.raw`; or such an id without its datastore.
        """
        prefixes = "|".join(re.escape(prefix) for prefix in (self.volume_prefix, self.snapshot_prefix))
        name = rf"vm-{CSI_VM_ID}-(?:{prefixes})-{_UUID}"
        pattern = rf"(?:[^:/]+:)?(?:{name}|{CSI_VM_ID}/{name}\.(?:raw|qcow2))"
        return re.fullmatch(pattern, volume) is not None
