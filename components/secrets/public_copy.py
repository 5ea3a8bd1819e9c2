"""One key of a Secret that anybody may read, copied to other namespaces without the keys beside it.

Owns one ExternalSecret. Does not own the Secret that it reads, whose other keys stay where they are: Reflector copies
Secrets whole, so it copies what is made here. For the certificate of an authority, which clients must know, and which
cert-manager keeps together with a private key.
Must exist before: the Secret, and an application secret of its namespace.

External Secrets reads no key of another Secret by itself, but a template may come from a Secret of the namespace: a
certificate in PEM is a template without a placeholder (`templateFrom`, pkg/controllers/templating/parser.go of 2.9.0).
It also insists on reading something from a store: that is `anchor`, of which nothing gets into the Secret.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.readiness import READY
from components.kit.references import SecretReference
from components.secrets.application_secret import VaultValue
from components.secrets.external_secret import API, TIMEOUTS, following
from components.secrets.reflector import Mirror


@dataclass(frozen=True, kw_only=True)
class PublicCopyArgs:
    """Arguments of `PublicCopy`.

    name: of the new Secret, in the namespace of `source` and of the copies.
    source: the key, which is not secret; it has the same name in the copy.
    anchor: any value in Vault that the namespace of `source` may read.
    mirror: the other namespaces.
    """

    name: str
    source: SecretReference
    anchor: VaultValue
    mirror: Mirror

    def __post_init__(self) -> None:
        if self.anchor.access.namespace != self.source.namespace:
            raise ValueError(
                f"anchor: is for {self.anchor.access.namespace!r}, the source in {self.source.namespace!r}; a "
                "namespace reads its own part of Vault alone, so give a value of that namespace"
            )
        if self.name == self.source.name:
            raise ValueError(f"name: {self.name!r} is the source itself, which would be overwritten; choose another")


class PublicCopy(pulumi.ComponentResource):
    """A Secret with nothing secret in it, in several namespaces."""

    ready: CustomResource
    """After this the first one exists; copies follow within moments, and in a new namespace as soon as it exists."""

    def __init__(self, name: str, args: PublicCopyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:PublicCopy", name, None, opts)
        self.ready = CustomResource(
            name,
            api_version=API,
            kind="ExternalSecret",
            metadata=ObjectMetaArgs(name=args.name, namespace=args.source.namespace, annotations=READY),
            spec=following(
                args.anchor.access.store,
                args.name,
                {"anchor": (args.anchor.path, args.anchor.key)},
                template={
                    "engineVersion": "v2",
                    # Only what the template makes, so not the anchor.
                    "mergePolicy": "Replace",
                    "metadata": {"annotations": args.mirror.annotations},
                    "templateFrom": [
                        {
                            "target": "Data",
                            "secret": {
                                "name": args.source.name,
                                "items": [{"key": args.source.key, "templateAs": "Values"}],
                            },
                        }
                    ],
                },
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.source.ready, args.anchor.ready, args.mirror.ready],
                custom_timeouts=TIMEOUTS,
            ),
        )
        self.register_outputs({"secret": f"{args.source.namespace}/{args.name}"})
