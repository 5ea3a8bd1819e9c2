"""The Talos disk image: an Image Factory schematic, downloaded once to every Proxmox datastore that needs it.

Owns the schematic and the downloaded files. Does not own the disks made from them: a VM copies the image when it is
created and never reads it again, so a new image reaches running nodes by an upgrade, not through these files.
The factory publishes no checksums (those of its API are of the Enterprise edition alone, and other builds answer 402:
https://github.com/siderolabs/image-factory/blob/v1.5.0/docs/api.md), so Proxmox gets none to compare with.
Must exist before: a Proxmox datastore with content type `import` on each host.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
import pulumi_proxmoxve as proxmox
import pulumiverse_talos as talos
import yaml

DOWNLOAD_TIMEOUT = 1800
"""Seconds for one download: some 1.3 GB over a slow line."""

# Platform "nocloud" reads the address and host name from Proxmox's cloud-init drive.
_PLATFORM = "nocloud-amd64"


@dataclass(frozen=True, kw_only=True)
class TalosImageArgs:
    """Arguments of `TalosImage`.

    factory: URL of the Image Factory, without a trailing slash.
    version: Talos version, such as v1.13.9.
    extensions: official system extensions, such as siderolabs/qemu-guest-agent.
    kernel_args: additional kernel command-line arguments.
    owner: begins the files' names: what two stacks at one site download is never the same file.
    datastores: per Proxmox host the datastore that takes the image.
    shared: those datastores that are one and the same on every host.
    hooks: what runs around each operation on a file; before it is made, the factory must have its image
    (`components/talos/image_factory.py`).
    """

    factory: str
    version: str
    extensions: Sequence[str]
    kernel_args: Sequence[str]
    owner: str
    datastores: Mapping[str, str]
    shared: Collection[str] = ()
    hooks: pulumi.ResourceHookBinding | None = None

    def schematic(self) -> str:
        """The schematic as YAML; a different order of extensions is not a different image."""
        customization: dict[str, object] = {}
        if self.kernel_args:
            customization["extraKernelArgs"] = list(self.kernel_args)
        if self.extensions:
            customization["systemExtensions"] = {"officialExtensions": sorted(self.extensions)}
        return yaml.safe_dump({"customization": customization}, sort_keys=True)


class TalosImage(pulumi.ComponentResource):
    """A Talos image with its extensions, on every host that needs it."""

    files: dict[str, pulumi.Output[str]]
    """The id of the image on each Proxmox host, for a disk's `import_from`."""

    installer: pulumi.Output[str]
    """The installer image of the same schematic and version, for machine.install.image and upgrades."""

    def __init__(self, name: str, args: TalosImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:proxmox:TalosImage", name, None, opts)
        schematic = talos.imagefactory.Schematic(
            f"{name}-schematic",
            schematic=args.schematic(),
            opts=pulumi.ResourceOptions(
                parent=self,
                # Updated in place, it would keep the old id, and every URL would name the old image.
                replace_on_changes=["schematic"],
            ),
        )
        # A shared datastore gets the file through the first host that uses it.
        stores = {host: f"shared-{store}" if store in args.shared else host for host, store in args.datastores.items()}
        made: dict[str, proxmox.download.File] = {}
        for host, datastore in args.datastores.items():
            if stores[host] not in made:
                made[stores[host]] = self._file(f"{name}-{stores[host]}", args, schematic.id, host, datastore)
        self.files = {host: made[store].id for host, store in stores.items()}
        registry = urlsplit(args.factory).netloc
        self.installer = pulumi.Output.format("{0}/nocloud-installer/{1}:{2}", registry, schematic.id, args.version)
        self.register_outputs({"files": self.files, "installer": self.installer})

    def _file(
        self, name: str, args: TalosImageArgs, schematic: pulumi.Output[str], host: str, datastore: str
    ) -> proxmox.download.File:
        return proxmox.download.File(
            name,
            node_name=host,
            datastore_id=datastore,
            content_type="import",
            url=pulumi.Output.format("{0}/image/{1}/{2}/{3}.qcow2", args.factory, schematic, args.version, _PLATFORM),
            # The schematic's id is part of the name, so a different set of extensions is a different file.
            file_name=schematic.apply(lambda id: f"{args.owner}-talos-{args.version}-{id}-{_PLATFORM}.qcow2"),
            # The factory builds on demand, so a size that differs later is not a reason to fetch it again.
            overwrite=False,
            overwrite_unmanaged=True,
            upload_timeout=DOWNLOAD_TIMEOUT,
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=args.hooks,
                # Through another host it is the same file: made first, it would then be deleted as the old one.
                delete_before_replace=datastore in args.shared,
            ),
        )
