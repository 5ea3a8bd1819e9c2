"""A Secret that is assembled from values which application secrets of its namespace already have in Vault.

Owns one ExternalSecret. Does not own the values, and makes none. For a consumer that needs several values in one file,
or one value in another form or at another time than its application secret has it.
Must exist before: the application secrets, and whatever its options depend on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.readiness import READY
from components.kit.references import SecretReference
from components.secrets.application_secret import VaultValue
from components.secrets.external_secret import API, TIMEOUTS, following
from components.secrets.secret_spec import template_fields


@dataclass(frozen=True, kw_only=True)
class AssembledSecretArgs:
    """Arguments of `AssembledSecret`.

    name: of the Secret.
    values: the values, by the names that stand for them in the files.
    files: the content by key of the Secret: a Go template over `values`.
    labels: of the Secret.
    """

    name: str
    values: Mapping[str, VaultValue]
    files: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(places := {value.access.namespace for value in self.values.values()}) != 1:
            raise ValueError(
                f"values: of {', '.join(sorted(places)) or 'no namespace'}; a namespace reads its own part of Vault "
                "alone, so give at least one value, and all of one namespace"
            )
        used = {name for text in self.files.values() for name in template_fields(text)}
        for name in sorted(used - self.values.keys()):
            raise ValueError(f"files: {name!r} is not a value; there are {', '.join(sorted(self.values))}")
        for name in sorted(self.values.keys() - used):
            raise ValueError(f"values: {name!r} stands in no file; leave it out")


class AssembledSecret(pulumi.ComponentResource):
    """One Secret with values of others."""

    name: str
    namespace: str

    def __init__(self, name: str, args: AssembledSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:AssembledSecret", name, None, opts)
        access = next(iter(args.values.values())).access
        self.name, self.namespace = args.name, access.namespace
        self._keys = frozenset(args.files)
        template: dict[str, Any] = {"engineVersion": "v2", "mergePolicy": "Replace", "data": dict(args.files)}
        template |= {"metadata": {"labels": dict(args.labels)}} if args.labels else {}
        self._external = CustomResource(
            name,
            api_version=API,
            kind="ExternalSecret",
            metadata=ObjectMetaArgs(name=args.name, namespace=access.namespace, annotations=READY),
            spec=following(
                access.store,
                args.name,
                {key: (value.path, value.key) for key, value in sorted(args.values.items())},
                template=template,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[value.ready for value in args.values.values()],
                custom_timeouts=TIMEOUTS,
            ),
        )
        self.register_outputs({"secret": args.name})

    def reference(self, key: str) -> SecretReference:
        """One of its keys. Raises ValueError where there is no such key."""
        if key not in self._keys:
            raise ValueError(f"{self.name} has no key {key!r}; there are {', '.join(sorted(self._keys))}")
        return SecretReference(namespace=self.namespace, name=self.name, key=key, ready=self._external)
