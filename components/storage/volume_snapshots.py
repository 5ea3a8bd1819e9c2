"""Volume snapshots: the API, the controller that serves it, and the snapshot class for Proxmox CSI.

Owns the namespace, the Helm release, which brings the CRDs, and the class. Does not own the sidecar that takes the
snapshots, which is the driver's (`ProxmoxCsi`, `snapshots`). Must exist before: the pod network; the driver comes
after it, as its sidecar needs the CRDs.

Such a snapshot is a full copy of the volume, of the same size, made by a Proxmox API call that is marked
experimental and open only to root@pam, not even to root's API tokens. The API of Proxmox VE has no snapshots of single
volumes; a snapshot in ZFS itself can be made only on the host.
https://github.com/sergelogvinov/proxmox-csi-plugin/blob/v0.19.1/docs/volumesnapshot.md
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.release import Release
from components.kit.versions import SNAPSHOT_CONTROLLER

_API = "snapshot.storage.k8s.io/v1"


@dataclass(frozen=True, kw_only=True)
class VolumeSnapshotsArgs:
    """Arguments of `VolumeSnapshots`.

    class_name: name of the VolumeSnapshotClass, which is the default one. driver: name of the CSI driver.
    """

    charts: ChartSource
    class_name: str
    driver: str

    def __post_init__(self) -> None:
        if not self.class_name or not self.driver:
            raise ValueError(f"class {self.class_name!r} of driver {self.driver!r}: both need a name; give it")


class VolumeSnapshots(pulumi.ComponentResource):
    """The snapshot API of the cluster."""

    ready: Release
    """Up when the CRDs exist and the controller runs."""

    def __init__(self, name: str, args: VolumeSnapshotsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:storage:VolumeSnapshots", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", "snapshot-controller", "restricted", parent=self)
        self.ready = args.charts.install(
            SNAPSHOT_CONTROLLER,
            name,
            parent=self,
            name="snapshot-controller",
            namespace=namespace.metadata.name,
            values=values("snapshot-controller"),
        )
        # Not by the SDK's class for custom resources: it sends `metadata` and `spec` alone, and this kind has no spec.
        pulumi.CustomResource(
            f"kubernetes:{_API}:VolumeSnapshotClass",
            f"{name}-class",
            {
                "apiVersion": _API,
                "kind": "VolumeSnapshotClass",
                "metadata": {
                    "name": args.class_name,
                    "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"},
                },
                "driver": args.driver,
                # What happens when a snapshot object is deleted. CsiVolumes deals with what a destroyed cluster leaves.
                "deletionPolicy": "Delete",
            },
            pulumi.ResourceOptions(
                parent=self,
                depends_on=[self.ready],
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="2m"),
            ),
        )
        self.register_outputs({"release": self.ready.name})
