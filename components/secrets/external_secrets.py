"""External Secrets Operator: makes Kubernetes Secrets from what Vault holds, and brings generated values into Vault.

Owns the namespace and the Helm release with its CRDs: the operator, phase 1. Does not own what it works on, phase 2:
the store (`vault_store.py`), who may use it (`vault_access.py`) and the secrets (`application_secret.py`).
Must exist before: the pod network, and cert-manager with an issuer, which gives the admission webhook its certificate.
Operator and webhook have two replicas where two nodes can hold them: one operator leads, the webhooks share the work.

What it may do in the cluster: the chart grants it access to all Secrets and read access to all ServiceAccounts,
ConfigMaps and namespaces. An operator that writes Secrets on request and notices when they change needs the first; the
values drop every right that the program does not need, above all tokens of other ServiceAccounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.network_policy import Pods
from components.kit.references import IssuerReference
from components.kit.release import Release
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import EXTERNAL_SECRETS
from components.secrets.secret_spec import OPERATOR_NAMESPACE

SERVICE_ACCOUNT: Final = "external-secrets"
"""The operator's account; the chart names it after the release."""

PODS: Final = Pods(
    labels={"app.kubernetes.io/name": "external-secrets", "app.kubernetes.io/instance": "external-secrets"},
    namespace=OPERATOR_NAMESPACE,
)
"""The operator's replicas, which call Vault; not those of its webhook."""


@dataclass(frozen=True, kw_only=True)
class ExternalSecretsArgs:
    """Arguments of `ExternalSecrets`.

    schedulable: how many nodes take ordinary pods.
    issuer: issues the webhook's certificate.
    """

    charts: ChartSource
    schedulable: int
    issuer: IssuerReference


class ExternalSecrets(pulumi.ComponentResource):
    """The operator with its kinds, such as ExternalSecret, PushSecret, ClusterSecretStore and Password."""

    ready: Release
    """Up when operator and webhook are; every custom resource of external-secrets.io depends on it."""

    def __init__(self, name: str, args: ExternalSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:ExternalSecrets", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", OPERATOR_NAMESPACE, "restricted", parent=self)
        configured: dict[str, Any] = values("external-secrets")
        for workload, tree in (("external-secrets", configured), ("external-secrets-webhook", configured["webhook"])):
            tree["replicaCount"] = replicas(args.schedulable)
            tree["topologySpreadConstraints"] = one_per_node(
                {"app.kubernetes.io/name": workload, "app.kubernetes.io/instance": "external-secrets"}
            )
        configured["webhook"]["certManager"]["cert"]["issuerRef"] = args.issuer.spec
        self.ready = args.charts.install(
            EXTERNAL_SECRETS,
            name,
            parent=self,
            name="external-secrets",
            namespace=namespace.metadata.name,
            values=configured,
            depends_on=[args.issuer.ready],
        )
        self.register_outputs({"release": self.ready.name})
