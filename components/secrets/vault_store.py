"""The ClusterSecretStore for Vault: ExternalSecrets read from it, PushSecrets write to it.

Owns that one object, and with it which namespaces may use it at all. Does not own their accounts (`vault_access.py`),
nor Vault's auth method, role and policy, which a `VaultLogin` describes.
Must exist before: External Secrets Operator and a configured Vault.

The store names an account without a namespace, so the operator logs in with that of the requesting namespace (it
calls that referent authentication), and Vault's policy keeps each namespace to its own path. No account of the
operator's own can read more than one namespace. The price: the operator cannot test such a store on its own, so its
condition Ready says only that it is well-formed. Only a namespace's first secret proves that Vault lets it in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.readiness import READY
from components.kit.references import VaultLogin
from components.secrets.external_secrets import ExternalSecrets

KIND: Final = "ClusterSecretStore"


@dataclass(frozen=True, kw_only=True)
class VaultStoreArgs:
    """Arguments of `VaultStore`.

    namespaces: those whose ExternalSecrets and PushSecrets may use the store; the operator refuses all others.
    """

    operator: ExternalSecrets
    login: VaultLogin
    namespaces: Sequence[str]

    def __post_init__(self) -> None:
        if not self.namespaces:
            raise ValueError("namespaces: none; a store without a condition serves every namespace, so name one")
        if self.login.mount in self.namespaces:
            raise ValueError(
                f"namespaces: {self.login.mount!r} is also the mount of the KV engine, which the operator strips from "
                "the start of a path; rename the namespace"
            )


class VaultStore(pulumi.ComponentResource):
    """The one store of the cluster."""

    reference: dict[str, str]
    """The `secretStoreRef` of an ExternalSecret."""
    namespaces: tuple[str, ...]
    """Those that may use it, sorted."""
    login: VaultLogin
    operator: ExternalSecrets

    def __init__(self, name: str, args: VaultStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:VaultStore", name, None, opts)
        self.login, self.operator = args.login, args.operator
        self.namespaces = tuple(sorted(set(args.namespaces)))
        self.reference = {"kind": KIND, "name": "vault"}
        authority = args.login.authority
        vault = {
            "server": args.login.server,
            "path": args.login.mount,
            "version": "v2",
            "caProvider": {
                "type": "Secret",
                "namespace": authority.namespace,
                **authority.selector,
            },
            # Each write names the version it replaces, so that nothing is overwritten unnoticed, and a value that was
            # deleted in Vault is an error rather than replaced by a new one.
            "checkAndSet": {"required": True},
            "auth": {
                "kubernetes": {
                    "mountPath": args.login.auth_path,
                    "role": args.login.role,
                    "serviceAccountRef": {
                        "name": args.login.service_account,
                        "audiences": [args.login.audience],
                    },
                }
            },
        }
        store = CustomResource(
            name,
            api_version="external-secrets.io/v1",
            kind=KIND,
            metadata=ObjectMetaArgs(name=self.reference["name"], annotations=READY),
            spec={"provider": {"vault": vault}, "conditions": [{"namespaces": list(self.namespaces)}]},
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.operator.ready, args.login.ready, authority.ready],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
            ),
        )
        self.register_outputs({"store": store.id})
