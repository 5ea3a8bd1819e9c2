"""Vault: servers on raft behind one address, unsealed and configured by the operator's sidecars.

Owns the pods' account and rights, their certificate, the policies of who may reach them, the disruption budget and the
Vault resource. What is inside Vault is `config.py`; the operator makes StatefulSet, Services and configurer. Does not
own the Secret with the unseal keys: Vault's sidecar makes it at the first start, and it outlives the resource.
docs/vault.md says how safe that is.
Must exist before: the operator, an issuer of the cluster's authority, a StorageClass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.certificates.certificate import Certificate, CertificateArgs
from components.kit import image_pulls
from components.kit.kubernetes_object import (
    ClusterRoleBinding,
    PodDisruptionBudget,
    Role,
    RoleBinding,
    ServiceAccount,
)
from components.kit.network_policy import Access, Pods, open_to
from components.kit.readiness import until
from components.kit.references import IssuerReference, SecretReference, StorageClassReference
from components.secrets.reloader import restart_on_mounted
from components.vault import operator
from components.vault.clients import VAULT_NAMESPACE
from components.vault.config import VaultConfiguration
from components.vault.lint import require_clean
from components.vault.operator import VaultOperator
from components.vault.resource import API_PORT, CLUSTER_PORT, VaultResource

INSTANCE = "instance"
"""Name of the resource, and so of its Services: `instance` for the active server, `instance-0` and so on for each."""

_ACCOUNT = "vault"
_TLS_SECRET = "vault-tls"  # noqa: S105 - the name of a Secret
_TLS_LABELS = {"app.kubernetes.io/component": "vault-tls"}
_RBAC = "rbac.authorization.k8s.io"
_ANNOTATIONS = {
    # The operator sets it once a server leads and every one answers.
    **until("Healthy"),
    # The resource has no status subresource, so with its status the operator writes everything back, with an empty
    # `resources` in each container. A list has one owner: from then on the API server would refuse our every change.
    # What it added means nothing to it; its next status adds it again. Can go with a release whose CRD has a status
    # subresource (https://github.com/bank-vaults/vault-operator).
    "pulumi.com/patchForce": "true",
}


@dataclass(frozen=True, kw_only=True)
class VaultArgs:
    """Arguments of `Vault`.

    callers: pods that may call the API, besides those of this namespace and the operator's.
    size: servers; 3 keep a quorum without one of them, 1 is for a cluster of fewer than 3 nodes.
    storage: class of the volumes, whose size is `volume_size`.
    issuer: of the cluster's own authority, which clients inside the cluster trust.
    host_aliases: address by host name, for hosts that the servers call and DNS may not know yet.
    """

    operator: VaultOperator
    issuer: IssuerReference
    storage: StorageClassReference
    configuration: VaultConfiguration
    callers: Sequence[Pods]
    size: int
    volume_size: str = "10Gi"
    host_aliases: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size not in (1, 3, 5):
            raise ValueError(
                f"size: {self.size} servers; raft decides by majority, so an even number only adds one that can fail; "
                "give 3, or 1 where there are fewer than 3 nodes"
            )
        require_clean(self.configuration.document())


class Vault(pulumi.ComponentResource):
    """A highly available Vault."""

    resource: VaultResource
    """Names, labels and addresses of what the operator makes."""

    namespace: pulumi.Output[str]

    address: pulumi.Output[str]
    """Where clients reach the active server; known once there is one."""

    certificate_authority: SecretReference
    """The CA certificate against which clients verify the server's."""

    configuration: VaultConfiguration
    """The configuration inside Vault before there is an identity provider."""

    ready: CustomResource
    """Healthy when a server is unsealed and leads, and all others answer."""

    def __init__(self, name: str, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:Vault", name, None, opts)
        self.resource = _resource(args)
        self.configuration = args.configuration
        self.namespace = namespace = args.operator.vault_namespace.metadata.name
        rights = self._create_account(name, namespace)
        open_to(name, _access(self.resource, args), namespace, parent=self)
        certificate = Certificate(
            f"{name}-certificate",
            CertificateArgs(
                namespace=VAULT_NAMESPACE,
                secret_name=self.resource.tls_secret,
                dns_names=self.resource.dns_names,
                # The unsealer in each pod calls the server beside it.
                ip_addresses=["127.0.0.1"],
                issuer=args.issuer,
                usages=["server auth", "client auth"],
                secret_labels=self.resource.tls_labels,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.operator.vault_namespace]),
        )
        budget = PodDisruptionBudget(
            f"{name}-budget",
            metadata=ObjectMetaArgs(name=INSTANCE, namespace=namespace),
            spec={
                "maxUnavailable": 1,
                "selector": {"matchLabels": self.resource.labels},
                # A sealed server adds nothing to the quorum: it must not hold up a drain.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = CustomResource(
            f"{name}-{INSTANCE}",
            api_version="vault.banzaicloud.com/v1alpha1",
            kind="Vault",
            metadata=ObjectMetaArgs(
                name=INSTANCE,
                namespace=namespace,
                annotations=_ANNOTATIONS,
            ),
            spec=self.resource.spec(),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.operator.ready, args.storage.ready, certificate.ready, budget, *rights],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=image_pulls.AWAITED, update=image_pulls.AWAITED, delete="5m"
                ),
            ),
        )
        self.address = self.ready.id.apply(lambda _: self.resource.address)
        self.certificate_authority = certificate.ca
        self.register_outputs({"address": self.address, "ready": self.ready.id})

    def _create_account(self, name: str, namespace: pulumi.Output[str]) -> list[pulumi.Resource]:
        """The pods' account: stores the unseal keys, labels its own pods, asks whether a login's token is valid."""
        child = pulumi.ResourceOptions(parent=self)
        metadata = ObjectMetaArgs(name=_ACCOUNT, namespace=namespace)
        account = ServiceAccount(f"{name}-account", metadata=metadata, opts=child)
        subject = {"kind": "ServiceAccount", "name": account.metadata.name, "namespace": namespace}
        role = Role(
            f"{name}-role",
            metadata=metadata,
            rules=[
                # The right to create Secrets cannot be limited to a name.
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
                {
                    "apiGroups": [""],
                    "resources": ["secrets"],
                    "resourceNames": [self.resource.unseal_secret],
                    "verbs": ["get", "update"],
                },
                {
                    "apiGroups": [""],
                    "resources": ["pods"],
                    "resourceNames": self.resource.pods,
                    "verbs": ["get", "patch"],
                },
            ],
            opts=child,
        )
        binding = RoleBinding(
            f"{name}-role-binding",
            metadata=metadata,
            roleRef={"apiGroup": _RBAC, "kind": "Role", "name": role.metadata.name},
            subjects=[subject],
            opts=child,
        )
        delegator = ClusterRoleBinding(
            f"{name}-auth-delegator",
            metadata=ObjectMetaArgs(name="vault-auth-delegator"),
            roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": "system:auth-delegator"},
            subjects=[subject],
            opts=child,
        )
        return [binding, delegator]


def _access(vault: VaultResource, args: VaultArgs) -> list[Access]:
    """The API for its clients; a new server joins by it, too. The raft port is for the servers alone."""
    own = Pods(labels={})
    return [
        Access(name="vault-api", to=vault.labels, ports=[API_PORT], callers=[own, operator.PODS, *args.callers]),
        Access(name="vault-raft", to=vault.labels, ports=[CLUSTER_PORT], callers=[Pods(labels=vault.labels)]),
    ]


def _resource(args: VaultArgs) -> VaultResource:
    """What the operator is to make: the servers, and what configures them."""
    return VaultResource(
        name=INSTANCE,
        namespace=VAULT_NAMESPACE,
        size=args.size,
        storage_class=args.storage.name,
        storage=args.volume_size,
        service_account=_ACCOUNT,
        tls_secret=_TLS_SECRET,
        tls_labels=_TLS_LABELS,
        unseal_secret=f"{INSTANCE}-unseal-keys",
        external_config=args.configuration.document(),
        # It checks servers by the authority that it read at its start; and it lays a changed document over the one
        # before, in which a role takes over what it leaves out from the role that stood at its place.
        configurer_annotations=restart_on_mounted(),
        host_aliases=args.host_aliases,
    )
