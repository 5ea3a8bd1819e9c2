"""The storage layer: volumes on the site's datastores, and the default storage class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.kit.chart import ChartSource
from components.kit.references import StorageClassReference
from components.proxmox.account import ProxmoxAccount, ProxmoxAccountArgs
from components.proxmox.account_leftovers import AccountLeftovers
from components.proxmox.site.plan import PlannedAccount
from components.proxmox.talos_vm import DATA_DISK_PATH
from components.storage.csi_volume_names import VolumeNames
from components.storage.longhorn import Longhorn, LonghornArgs
from components.storage.proxmox_csi import PROVISIONER, ProxmoxCsi, ProxmoxCsiArgs
from components.storage.storage_class import StorageClass, StorageClassArgs
from components.storage.volume_snapshots import VolumeSnapshots, VolumeSnapshotsArgs
from stacks.network import NetworkLayer
from stacks.settings.credentials import Credentials
from stacks.settings.model import SNAPSHOT_USER, Settings
from stacks.site import SiteLayer, storage_account


@dataclass(frozen=True)
class StorageLayer:
    """What later layers need from storage."""

    csi: ProxmoxCsi
    default: StorageClassReference
    """The class of claims that name none: on the site's datastore, with volumes kept when their claim is deleted."""

    @property
    def bootstrap_secrets(self) -> list[pulumi.Output[dict[str, Any]]]:
        """Secrets without which nothing in the cluster gets a volume, for sealing them in git."""
        return [self.csi.bootstrap_secret]


def deploy(settings: Settings, credentials: Credentials, *, site: SiteLayer, network: NetworkLayer) -> StorageLayer:
    """Deploy Proxmox CSI with its own account, and its storage class; snapshots and Longhorn if enabled."""
    charts = ChartSource(settings.charts.mirror)
    after: list[pulumi.Resource] = []
    login: Mapping[str, pulumi.Input[str]]
    if settings.storage.snapshots and credentials.proxmox_password is not None:
        login = {"username": SNAPSHOT_USER, "password": credentials.proxmox_password}
        snapshots = VolumeSnapshots(
            "volume-snapshots",
            VolumeSnapshotsArgs(charts=charts, class_name="proxmox", driver=PROVISIONER),
            opts=network.inside(),
        )
        after.append(snapshots)
    else:
        account = _account(storage_account(settings, site.tag), site)
        login = {"token_id": account.token_id, "token_secret": account.token_secret}
        after.append(account)
    csi = ProxmoxCsi(
        "proxmox-csi",
        ProxmoxCsiArgs(
            charts=charts,
            endpoint=settings.site.endpoint,
            insecure=settings.site.insecure,
            ca=settings.site.ca,
            credentials=login,
            region=settings.site.name,
            volumes=VolumeNames(settings.cluster.name),
            replicas=min(2, len(settings.control_planes)),
            snapshots=settings.storage.snapshots,
        ),
        opts=network.inside(*after),
    )
    default = StorageClass(
        "proxmox",
        StorageClassArgs(
            provisioner=PROVISIONER,
            parameters={
                "storage": settings.storage.datastore,
                "csi.storage.k8s.io/fstype": "ext4",
                "cache": "none",
                # Also lets the guest return freed blocks (discard).
                "ssd": "true",
            },
            default=True,
            reclaim="Retain",
            mount_options=["noatime", "discard"],
            after=csi.ready,
        ),
        opts=network.inside(),
    )
    if settings.features.longhorn_v2:
        Longhorn("longhorn", _longhorn(settings, charts), opts=network.inside())
    return StorageLayer(csi, default.reference)


def _account(account: PlannedAccount, site: SiteLayer) -> ProxmoxAccount:
    return ProxmoxAccount(
        "csi",
        ProxmoxAccountArgs(
            account=account.name,
            comment=account.comment,
            privileges=account.privileges,
            paths=account.paths,
            after=[site.pool.pool],
            hooks=pulumi.ResourceHookBinding(
                before_create=[AccountLeftovers(site.checks.login).before_create()], on_error=[site.explained]
            ),
        ),
        opts=pulumi.ResourceOptions(providers=[site.provider]),
    )


def _longhorn(settings: Settings, charts: ChartSource) -> LonghornArgs:
    return LonghornArgs(
        charts=charts,
        workers=len(settings.workers),
        cores=min(node.cores for node in settings.workers.values()),
        disk=DATA_DISK_PATH,
    )
