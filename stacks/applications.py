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
from components.kit.namespace import PodSecurity
from components.kit.spelling import did_you_mean
from stacks.application_secrets import GITEA, GIVEN, HARBOR, MATRIX, SECRETS, namespaces
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
    Application(
        namespace=HARBOR,
        # Six pods with 2.25 GiB, two of PostgreSQL with 2 GiB, and room for the setup and for new pods beside old ones.
        quota=Quota(cpu="3", memory="8Gi", storage="90Gi"),
        database="harbor-postgres",
    ),
    Application(
        namespace=MATRIX,
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
            opts=network.inside(border.ready, identity.authentik.ready),
        )
        for row in APPLICATIONS
    }
    return ApplicationsLayer(border, made)
