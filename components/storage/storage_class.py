"""A storage class, as a resource of its own rather than some chart's value.

Owns the StorageClass and hands out the reference by which claims ask for it. Does not own the driver behind it.
Must exist before: the driver's release, on which the class depends, and so does everything that uses the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit import kubernetes_object
from components.kit.references import StorageClassReference

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, kw_only=True)
class StorageClassArgs:
    """Arguments of `StorageClass`; its name is the class's.

    provisioner: name of the CSI driver. parameters: the driver's own, all of them strings.
    default: claims that name no class get this one; a cluster has one such class.
    reclaim: what becomes of a volume whose claim is deleted.
    mount_options: for the file systems on its volumes.
    after: the driver's release.
    """

    provisioner: str
    parameters: Mapping[str, str]
    default: bool
    reclaim: Literal["Retain", "Delete"]
    mount_options: Sequence[str] = ()
    after: pulumi.Resource

    def __post_init__(self) -> None:
        wrong = [key for key, value in self.parameters.items() if not isinstance(value, str)]
        if wrong:
            raise ValueError(f"parameters: {', '.join(wrong)} is not text, and Kubernetes takes nothing else; quote it")


class StorageClass(pulumi.ComponentResource):
    """A storage class whose volumes are created where the first pod that needs them is scheduled."""

    reference: StorageClassReference
    """The reference by which a claim asks for a volume of this class."""

    def __init__(self, name: str, args: StorageClassArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:storage:StorageClass", name, None, opts)
        metadata = ObjectMetaArgs(name=name)
        if args.default:
            metadata = ObjectMetaArgs(name=name, annotations={_DEFAULT: "true"})
        storage_class = kubernetes_object.StorageClass(
            name,
            metadata=metadata,
            provisioner=args.provisioner,
            parameters=dict(args.parameters),
            reclaimPolicy=args.reclaim,
            volumeBindingMode="WaitForFirstConsumer",
            allowVolumeExpansion=True,
            mountOptions=list(args.mount_options) or None,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.after],
                # Everything but volume expansion is immutable, and the name stays the same.
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete="2m"),
            ),
        )
        self.reference = StorageClassReference(name=name, ready=storage_class)
        self.register_outputs({"name": storage_class.metadata.name})
