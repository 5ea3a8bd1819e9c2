"""The applications layer: a namespace for each application of Flux, and the border that Flux does not cross.

Owns the table of applications. What runs in their namespaces is in the repository that Flux reads; a row is needed for
an application as long as it needs a namespace, so the first commit of one comes after an `up` with its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from components.gitops.application_namespace import ApplicationNamespace, ApplicationNamespaceArgs, Quota
from components.gitops.border import Border, BorderArgs
from components.gitops.flux import NAMESPACE as FLUX_NAMESPACE
from components.gitops.scraping import NAMESPACE as MONITORING
from components.kit.namespace import PodSecurity
from components.kit.spelling import did_you_mean
from stacks import matrix_secrets
from stacks.application_secrets import (
    ACTIVITYWATCH,
    BUILD_CACHE,
    DRIVE_SYNC,
    FIRECRAWL,
    GITEA,
    GIVEN,
    HARBOR,
    INVENTREE,
    SECRETS,
    WEBHOOK_INBOX,
    namespaces,
)
from stacks.identity import IdentityLayer
from stacks.network import NetworkLayer
from stacks.secrets import SecretsLayer


@dataclass(frozen=True, kw_only=True)
class Application:
    """A row of the table.

    namespace: where it runs; also its name in the repository.
    security: the Pod Security level that its pods pass.
    quota: what it may use altogether.
    database: name of its Cluster of CloudNativePG, if it has one.
    """

    namespace: str
    quota: Quota
    security: PodSecurity = "restricted"
    database: str | None = None


APPLICATIONS = (
    Application(
        namespace=GITEA,
        # The server, two of PostgreSQL with 2 GiB each, and room for a Job and for a new pod beside an old one.
        quota=Quota(cpu="2", memory="8Gi", storage="60Gi", load_balancers=1),
        database="gitea-postgres",
    ),
    # Prometheus with its volume, Alertmanager with its own, Grafana, the operator, kube-state-metrics and a prober.
    Application(namespace=MONITORING, quota=Quota(cpu="3", memory="12Gi", storage="80Gi")),
    # A pod a node, which sees the host's processes, network and file systems.
    Application(namespace="node-exporter", security="privileged", quota=Quota(cpu="2", memory="4Gi", storage="1Gi")),
    # Loki with its volume, and Alloy, which reads logs and receives traces.
    Application(namespace="logs", quota=Quota(cpu="2", memory="8Gi", storage="80Gi")),
    Application(namespace="traces", quota=Quota(cpu="1", memory="4Gi", storage="40Gi")),
    # The operator and a collector, each with a new pod beside it.
    Application(namespace="opentelemetry", quota=Quota(cpu="200m", memory="2Gi", storage="1Gi")),
    # One pod, and a new one beside it.
    Application(namespace="metrics-server", quota=Quota(cpu="200m", memory="1Gi", storage="1Gi")),
    Application(
        namespace=INVENTREE,
        # Its image works as root alone.
        security="baseline",
        # As Gitea's, with a worker beside the server.
        quota=Quota(cpu="2", memory="8Gi", storage="60Gi"),
        database="inventree-postgres",
    ),
    Application(namespace=BUILD_CACHE, quota=Quota(cpu="500m", memory="2Gi", storage="40Gi")),
    Application(namespace="syncthing", quota=Quota(cpu="500m", memory="2Gi", storage="100Gi", load_balancers=1)),
    Application(namespace=WEBHOOK_INBOX, quota=Quota(cpu="100m", memory="256Mi", storage="2Gi")),
    # Room for some more servers beside GitHub's.
    Application(namespace="mcp", quota=Quota(cpu="500m", memory="2Gi", storage="1Gi")),
    Application(namespace=DRIVE_SYNC, quota=Quota(cpu="500m", memory="1Gi", storage="50Gi")),
    Application(namespace=ACTIVITYWATCH, quota=Quota(cpu="100m", memory="1Gi", storage="5Gi")),
    # All of its pods twice, as a new one comes before the old one goes.
    Application(namespace=FIRECRAWL, quota=Quota(cpu="3", memory="14Gi", storage="1Gi")),
    Application(
        namespace=HARBOR,
        # Six pods with 2.25 GiB, two of PostgreSQL with 2 GiB, and room for the setup and for new pods beside old ones.
        quota=Quota(cpu="3", memory="8Gi", storage="90Gi"),
        database="harbor-postgres",
    ),
    Application(
        namespace=matrix_secrets.NAMESPACE,
        # Synapse with 2 GiB, three small ones, two of PostgreSQL with 2 GiB, and room for new pods beside old ones.
        quota=Quota(cpu="3", memory="8Gi", storage="60Gi"),
        database="matrix-postgres",
    ),
)

DEFINITIONS = (
    "banzaicloud.com",
    "bitnami.com",
    "cav.enablers.ob",
    "cert-manager.io",
    "cilium.io",
    "cnpg.io",
    "controlplane.io",
    "external-secrets.io",
    "externaldns.k8s.io",
    "longhorn.io",
    "metallb.io",
    "snapshot.storage.k8s.io",
    "toolkit.fluxcd.io",
)
"""API groups, or what they end in, whose definitions (CRDs) come with what the program installs."""


@dataclass(frozen=True)
class ApplicationsLayer:
    """What later layers need from the applications."""

    border: Border
    namespaces: Mapping[str, ApplicationNamespace]
    """By their names."""

    def namespace(self, name: str) -> ApplicationNamespace:
        """That of one application. Raises ValueError if it has no row."""
        if name not in self.namespaces:
            remedy = did_you_mean(name, self.namespaces) or f"there are {', '.join(sorted(self.namespaces))}"
            raise ValueError(f"{name!r} is no application; {remedy}")
        return self.namespaces[name]


def deploy(*, network: NetworkLayer, secrets: SecretsLayer, identity: IdentityLayer) -> ApplicationsLayer:
    """Make the border, and each application's namespace behind it with its secrets."""
    border = Border("border", BorderArgs(namespace=FLUX_NAMESPACE, definitions=DEFINITIONS), opts=network.inside())
    with_secrets = namespaces(SECRETS, GIVEN)
    made = {
        row.namespace: ApplicationNamespace(
            row.namespace,
            ApplicationNamespaceArgs(
                namespace=row.namespace,
                security=row.security,
                quota=row.quota,
                database=row.database,
                secrets=partial(secrets.store.in_namespace, row.namespace) if row.namespace in with_secrets else None,
            ),
            # What people sign on to comes up before what they use it for.
            opts=network.inside(identity.authentik.ready),
        )
        for row in APPLICATIONS
    }
    return ApplicationsLayer(border, made)
