"""The Vault operator (bank-vaults): turns a Vault resource into a StatefulSet, its Services and a configurer.

Owns its namespace, its account and rights, the Helm release, and the namespace in which Vaults may run: the operator's
rights end there. The chart would let it read and write every Secret of the cluster. Does not own a Vault: `vault.py`.

Where the API server has MutatingAdmissionPolicy (Kubernetes 1.36), it also owns one: release 1.24 of the operator adds
two capabilities for locking memory to each Vault pod, and nothing in the resource can remove them. Vault does not
lock memory here (`disable_mlock`). Without them Vault's pods pass level `restricted`, with them only `privileged`. Once
a release has `skipVaultContainerCapabilities` (https://github.com/bank-vaults/vault-operator), the policy can go.
Must exist before: the pod network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.chart import ChartSource, values
from components.kit.definitions import ChartDefinitions, ChartDefinitionsArgs
from components.kit.kubernetes_object import (
    MutatingAdmissionPolicy,
    MutatingAdmissionPolicyBinding,
    Namespace,
    Role,
    RoleBinding,
    ServiceAccount,
)
from components.kit.namespace import PodSecurity, make_namespace
from components.kit.network_policy import Pods, close_namespace
from components.kit.release import Release
from components.kit.versions import VAULT_OPERATOR
from components.vault.clients import VAULT_NAMESPACE

NAMESPACE = "vault-system"

PODS = Pods(labels={"app.kubernetes.io/name": "vault-operator"}, namespace=NAMESPACE)
"""The operator, which asks each server for its health."""

_RBAC = "rbac.authorization.k8s.io"
_OWN_RULES = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]},
    {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
]
_VAULT_RULES = [
    {
        "apiGroups": ["vault.banzaicloud.com"],
        "resources": ["vaults", "vaults/status", "vaults/finalizers"],
        "verbs": ["get", "list", "watch", "update"],
    },
    {
        "apiGroups": [""],
        "resources": ["services", "secrets"],
        "verbs": ["get", "list", "watch", "create", "update"],
    },
    # At every pass it deletes a ConfigMap that an earlier release made, whether it exists or not.
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {
        "apiGroups": ["apps"],
        "resources": ["statefulsets", "deployments"],
        "verbs": ["get", "list", "watch", "create", "update"],
    },
]
_FIRST = "object.spec.containers[0]"
_ADDS = " && ".join(f"has({_FIRST}.securityContext{field})" for field in ("", ".capabilities", ".capabilities.add"))
"""Holds for a pod whose first container asks for capabilities: the server's, in a pod of the operator."""


@dataclass(frozen=True, kw_only=True)
class VaultOperatorArgs:
    """Arguments of `VaultOperator`.

    kubeconfig: of an administrator; a secret.
    admission_policies: the API server has MutatingAdmissionPolicy in v1, as from Kubernetes 1.36.
    """

    charts: ChartSource
    kubeconfig: pulumi.Input[str]
    admission_policies: bool


class VaultOperator(pulumi.ComponentResource):
    """The operator, and the namespace that it manages."""

    vault_namespace: Namespace
    """In which Vaults may be made; closed to callers."""

    ready: Release
    """Up when a Vault resource can be created and will be reconciled."""

    def __init__(self, name: str, args: VaultOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:VaultOperator", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", NAMESPACE, "restricted", parent=self)
        level: PodSecurity = "restricted" if args.admission_policies else "privileged"
        self.vault_namespace = make_namespace(f"{name}-vaults", VAULT_NAMESPACE, level, parent=self)
        close_namespace(f"{name}-vaults-closed", self.vault_namespace, parent=self)
        configured = values("vault-operator")
        configured["watchNamespace"] = VAULT_NAMESPACE
        account = ServiceAccount(
            f"{name}-account",
            metadata=ObjectMetaArgs(name=configured["serviceAccount"]["name"], namespace=namespace.metadata.name),
            opts=pulumi.ResourceOptions(parent=self),
        )
        rights = [
            *self._grant(f"{name}-own", namespace, account, _OWN_RULES),
            *self._grant(f"{name}-vaults", self.vault_namespace, account, _VAULT_RULES),
        ]
        if args.admission_policies:
            rights += self._drop_capabilities(name)
        definitions = ChartDefinitions(
            f"{name}-definitions",
            ChartDefinitionsArgs(charts=args.charts, pin=VAULT_OPERATOR, kubeconfig=args.kubeconfig),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.ready = args.charts.install(
            VAULT_OPERATOR,
            name,
            parent=self,
            name="vault-operator",
            namespace=namespace.metadata.name,
            values=configured,
            depends_on=[*rights, definitions.ready],
            skip_crds=True,
        )
        self.register_outputs({"namespace": self.vault_namespace.metadata.name, "ready": self.ready.name})

    def _grant(
        self, name: str, namespace: Namespace, account: ServiceAccount, rules: list[dict[str, Any]]
    ) -> list[pulumi.Resource]:
        """Let the operator's account do what `rules` say, in one namespace."""
        metadata = ObjectMetaArgs(name="vault-operator", namespace=namespace.metadata.name)
        role = Role(f"{name}-role", metadata=metadata, rules=rules, opts=pulumi.ResourceOptions(parent=self))
        binding = RoleBinding(
            f"{name}-binding",
            metadata=metadata,
            roleRef={"apiGroup": _RBAC, "kind": "Role", "name": role.metadata.name},
            subjects=[
                {"kind": "ServiceAccount", "name": account.metadata.name, "namespace": account.metadata.namespace}
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return [role, binding]

    def _drop_capabilities(self, name: str) -> list[pulumi.Resource]:
        """Remove from Vault's pods, on creation, the capabilities that the operator adds to the first container."""
        of_a_new_pod = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        remove = '[JSONPatch{op: "remove", path: "/spec/containers/0/securityContext/capabilities/add"}]'
        metadata = ObjectMetaArgs(name="vault-without-capabilities")
        policy = MutatingAdmissionPolicy(
            f"{name}-capabilities",
            metadata=metadata,
            spec={
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": VAULT_NAMESPACE}},
                    "resourceRules": [of_a_new_pod],
                },
                "matchConditions": [{"name": "adds-capabilities", "expression": _ADDS}],
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": remove}}],
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        binding = MutatingAdmissionPolicyBinding(
            f"{name}-capabilities-binding",
            metadata=metadata,
            spec={"policyName": policy.metadata.name},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return [policy, binding]
