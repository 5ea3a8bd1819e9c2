"""A namespace's access to its own secrets in Vault.

Owns the ServiceAccount with which External Secrets Operator logs in to Vault for this namespace, and the operator's
right to request tokens for that account, which it has for no other. Does not own the namespace.
Must exist before: the namespace and the store.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.kubernetes_object import Role, RoleBinding, ServiceAccount
from components.secrets.external_secrets import SERVICE_ACCOUNT
from components.secrets.secret_spec import OPERATOR_NAMESPACE
from components.secrets.vault_store import VaultStore


@dataclass(frozen=True, kw_only=True)
class VaultAccessArgs:
    """Arguments of `VaultAccess`.

    namespace: name of one of the store's namespaces.
    """

    store: VaultStore
    namespace: str

    def __post_init__(self) -> None:
        if self.namespace not in self.store.namespaces:
            raise ValueError(
                f"namespace: {self.namespace!r} may not use the store, which serves "
                f"{', '.join(self.store.namespaces)}; declare its secrets in stacks/application_secrets.py"
            )


class VaultAccess(pulumi.ComponentResource):
    """What an application secret in this namespace needs besides the store."""

    namespace: str
    """The namespace that has this access."""
    store: VaultStore
    """To which store."""
    ready: RoleBinding
    """After this the operator can log in to Vault for the namespace."""

    def __init__(self, name: str, args: VaultAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:VaultAccess", name, None, opts)
        self.namespace, self.store = args.namespace, args.store
        client = args.store.login.service_account
        place = ObjectMetaArgs(name=client, namespace=args.namespace)
        inside = pulumi.ResourceOptions(
            parent=self, custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m")
        )
        # No pod runs as this account; its tokens are issued on request and last ten minutes.
        account = ServiceAccount(name, metadata=place, automountServiceAccountToken=False, opts=inside)
        role = Role(
            name,
            metadata=place,
            rules=[
                {
                    "apiGroups": [""],
                    "resources": ["serviceaccounts/token"],
                    "resourceNames": [client],
                    "verbs": ["create"],
                }
            ],
            opts=inside,
        )
        self.ready = RoleBinding(
            name,
            metadata=place,
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": client},
            subjects=[{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": OPERATOR_NAMESPACE}],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[account, role],
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
            ),
        )
        self.register_outputs({"account": account.metadata.name})
