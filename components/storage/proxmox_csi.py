"""Proxmox CSI: volumes on the site's own datastores, created and attached through the Proxmox API.

Owns the namespace, which is closed, the driver's configuration Secret, the authority by which it knows Proxmox, and
the Helm release. Does not own the account that the driver logs in with (`ProxmoxAccount`), the storage classes
(`StorageClass`), nor what becomes of volumes when the cluster is destroyed (`CsiVolumes`). Must exist before: the pod
network, and nodes whose labels name the driver's region and, as their zone, the Proxmox host that they run on
(`talos_config.topology`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.chart import ChartSource, values
from components.kit.kubernetes_object import ConfigMap, Secret
from components.kit.namespace import make_namespace
from components.kit.network_policy import close_namespace
from components.kit.release import Release
from components.kit.versions import PROXMOX_CSI
from components.storage.csi_volume_names import CSI_VM_ID, VolumeNames

NAMESPACE = "csi-proxmox"
PROVISIONER = "csi.proxmox.sinextra.dev"
"""Name of the driver; the chart cannot change it."""

PRIVILEGES = ("Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit", "VM.Audit", "VM.Config.Disk")
"""The privileges that Proxmox CSI requires: https://github.com/sergelogvinov/proxmox-csi-plugin/blob/v0.19.1/docs/install.md

Each is needed (read in v0.19.1 and in Proxmox's API schema): AllocateSpace makes a volume, Audit finds datastores and
their space, Allocate lists, attaches and deletes volumes that belong to a VM other than the one they are attached to.
The driver finds VMs in /cluster/resources and reads and writes their configuration (pkg/csi/utils.go, pkg/proxmoxpool);
all three ask for VM privileges on /vms/<id>, which a VM has from its pool (PVE::RPCEnvironment, compile_acl_path).
"""

AUTHORITIES = "/etc/pki/tls/certs"
"""Where the driver finds the authority of Proxmox.

It has no setting for one, and its chart none for variables. As a Go program it takes the authorities from every file
of this directory (https://go.dev/src/crypto/x509/root_linux.go), which its image does not have; the public ones are in
the image's /etc/ssl/certs.
"""

CONFIG_KEY = "config.yaml"
CREDENTIALS = (frozenset({"token_id", "token_secret"}), frozenset({"username", "password"}))
"""What the driver logs in with: https://github.com/sergelogvinov/proxmox-csi-plugin/blob/v0.19.1/docs/config.md"""


@dataclass(frozen=True, kw_only=True)
class ProxmoxCsiArgs:
    """Arguments of `ProxmoxCsi`.

    endpoint: URL of the Proxmox API, as https://10.0.0.2:8006/. insecure: accept any certificate from it.
    ca: authorities in PEM that may have signed that certificate, in addition to the public ones.
    credentials: one of the two sets of keys in `CREDENTIALS`, whose values are secret.
    region: the value of the nodes' region label.
    volumes: what the cluster's volumes are called.
    replicas: of the controller; one attaches volumes, a second one takes over when the first one's node dies.
    snapshots: run the snapshot sidecar; `VolumeSnapshots` must exist before.
    """

    charts: ChartSource
    endpoint: str
    insecure: bool
    credentials: Mapping[str, pulumi.Input[str]]
    region: str
    volumes: VolumeNames
    replicas: int
    ca: str | None = None
    snapshots: bool = False

    def __post_init__(self) -> None:
        if frozenset(self.credentials) not in CREDENTIALS:
            known = " or ".join(" and ".join(sorted(keys)) for keys in CREDENTIALS)
            raise ValueError(f"credentials: {', '.join(sorted(self.credentials)) or 'none'} given; give {known}")
        if self.replicas < 1:
            raise ValueError(f"replicas: {self.replicas} could attach no volume; give 1 or more")


class ProxmoxCsi(pulumi.ComponentResource):
    """The driver of the cluster's volumes."""

    ready: Release
    """Up when the controller and every node's plugin are; then volumes can be created and attached."""

    bootstrap_secret: pulumi.Output[dict[str, Any]]
    """The configuration Secret, for sealing it for git: namespace, name, type, and data in plain text. A secret."""

    def __init__(self, name: str, args: ProxmoxCsiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:storage:ProxmoxCsi", name, None, opts)
        # Pods of the node plugin mount host directories and make devices.
        namespace = make_namespace(f"{name}-namespace", NAMESPACE, "privileged", parent=self)
        # The kubelet of a pod's own node reaches it all the same, and calls the driver through a socket.
        close_namespace(f"{name}-closed", namespace, parent=self)
        config = _driver_config(args)
        secret = Secret(
            f"{name}-config",
            metadata=ObjectMetaArgs(name="proxmox-csi-config", namespace=namespace.metadata.name),
            type="Opaque",
            stringData={CONFIG_KEY: config},
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(delete="2m")),
        )
        configured = _values(args, secret.metadata.name, config)
        if args.ca is not None:
            authority = ConfigMap(
                f"{name}-authority",
                metadata=ObjectMetaArgs(name="proxmox-authority", namespace=namespace.metadata.name),
                data={"ca.pem": args.ca},
                opts=pulumi.ResourceOptions(parent=self),
            )
            configured |= _trusting(authority)
        self.ready = args.charts.install(
            PROXMOX_CSI,
            name,
            parent=self,
            name="proxmox-csi-plugin",
            namespace=namespace.metadata.name,
            values=configured,
        )
        self.bootstrap_secret = pulumi.Output.secret(
            {"namespace": NAMESPACE, "name": secret.metadata.name, "type": "Opaque", "data": {CONFIG_KEY: config}}
        )
        self.register_outputs({"release": self.ready.name, "bootstrap_secret": self.bootstrap_secret})


def _driver_config(args: ProxmoxCsiArgs) -> pulumi.Output[str]:
    """The driver's configuration file, in JSON, which YAML parsers accept, so that every type is unambiguous."""

    def render(credentials: Mapping[str, str]) -> str:
        cluster = {
            "url": f"{args.endpoint.rstrip('/')}/api2/json",
            "insecure": args.insecure,
            **credentials,
            "region": args.region,
        }
        # Its documentation calls the key controllerVMID; v0.19.1 reads this one and ignores the other (pkg/config).
        features = {"provider": "default", "controllerVmID": CSI_VM_ID}
        return json.dumps({"features": features, "clusters": [cluster]}, indent=2) + "\n"

    return pulumi.Output.secret(pulumi.Output.all(**args.credentials).apply(render))


def _trusting(authority: ConfigMap) -> dict[str, Any]:
    """The chart's values that put the certificate where the controller looks for authorities."""
    volume = "authority"
    return {
        "extraVolumes": [{"name": volume, "configMap": {"name": authority.metadata.name}}],
        "extraVolumeMounts": [{"name": volume, "mountPath": AUTHORITIES, "readOnly": True}],
    }


def _values(args: ProxmoxCsiArgs, secret: pulumi.Input[str], config: pulumi.Output[str]) -> dict[str, Any]:
    configured = values("proxmox-csi-plugin")
    configured["replicaCount"] = args.replicas
    configured["existingConfigSecret"] = secret
    configured["existingConfigSecretKey"] = CONFIG_KEY
    controller = configured["controller"]
    # The driver reads its configuration and the authorities once, and the chart's own checksum covers only Secrets that
    # the chart makes.
    controller["podAnnotations"] = {
        "homelab/config-sha256": config.apply(
            lambda text: hashlib.sha256(f"{text}{args.ca or ''}".encode()).hexdigest()
        )
    }
    # A list in a chart's values is replaced as a whole, so the default argument is repeated.
    controller["provisioner"]["args"] += [f"--volume-name-prefix={args.volumes.volume_prefix}"]
    if args.snapshots:
        controller["snapshotter"] = {
            "enabled": True,
            "args": [f"--snapshot-name-prefix={args.volumes.snapshot_prefix}"],
        }
    return configured
