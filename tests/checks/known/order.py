"""Known faults of order and ownership."""

from __future__ import annotations

from tests.checks.changes import late_secret, no_order
from tests.checks.known.edits import FLUX, GITEA, HARBOR, MONITORING, contained, copied, release
from tests.checks.known.fault import Case, Known
from tests.checks.platforms import appended, edited, moved

ORDER: tuple[Known, ...] = (
    Known(
        "a loop that no single list of dependencies shows",
        "What made a Secret waited for what, in the end, needed that Secret.",
        (
            Case(
                name="a Secret that is made only after its consumer",
                edit=moved("gitops/harbor/token-key.yaml", "gitops/harbor/setup/token-key.yaml"),
                rule="loop",
                words=("flux-system/harbor", "flux-system/harbor-setup", "Secret harbor/harbor-token"),
            ),
            Case(
                name="a Secret of the program that waits for its consumer",
                change=late_secret,
                rule="loop",
                words=("Release authentik", "ExternalSecret authentik-configuration", "authentik-configuration"),
            ),
        ),
    ),
    Known(
        "an old tree that still has what the program installs",
        "Flux adopted the network of all pods, and pruned it.",
        (
            Case(
                name="Cilium",
                edit=appended(FLUX, release("cilium", "kube-system", "cilium", "1.20.0")),
                rule="one-release",
                words=("release kube-system/cilium", "Release::cilium", "HelmRelease kube-system/cilium", FLUX),
            ),
            Case(
                name="the controller of SealedSecrets",
                edit=appended(FLUX, release("sealed-secrets", "kube-system", "sealed-secrets", "2.18.5")),
                rule="one-release",
                words=("release kube-system/sealed-secrets", "Release::sealed-secrets", "HelmRelease", FLUX),
            ),
            Case(
                name="a namespace",
                edit=appended(FLUX, "apiVersion: v1\nkind: Namespace\nmetadata: {name: gitea}\n"),
                rule="one-owner",
                words=("Namespace gitea", "gitea-namespace", "Kustomization flux-system/applications"),
            ),
        ),
    ),
    Known(
        "one release in two Kustomizations",
        "Each wrote its own values, and Helm upgraded hundreds of times.",
        (
            Case(
                name="with a value changed",
                edit=copied,
                rule="one-owner",
                words=(
                    "HelmRelease gitea/gitea",
                    "spec.values.persistence.size",
                    "flux-system/gitea-hand-over",
                    "flux-system/gitea)",
                ),
            ),
            Case(
                name="under another name",
                edit=appended("gitops/traces/release.yaml", release("second", "traces", "metrics-server", "3.13.1")),
                rule="one-release",
                words=("release traces/second", "metrics-server", "ClusterRole", "HelmRelease traces/second"),
            ),
        ),
    ),
    Known(
        "a value at a place that the chart does not read",
        "It was ignored without a word.",
        (
            Case(
                name="one level too deep",
                edit=edited(
                    HARBOR,
                    ("    updateStrategy: {type: Recreate}\n", ""),
                    (
                        "    registry:\n      existing",
                        "    registry:\n      updateStrategy: {type: Recreate}\n      existing",
                    ),
                ),
                rule="chart-pin",
                words=("release harbor/harbor", "values.registry.updateStrategy.type", "harbor 1.19.1"),
            ),
            Case(
                name="one level too shallow",
                edit=edited(
                    GITEA,
                    ("      size: 20Gi\n", ""),
                    ("    replicaCount: 1\n", "    size: 20Gi\n    replicaCount: 1\n"),
                ),
                rule="chart-pin",
                words=("release gitea/gitea", "values.size", "gitea 12.7.0"),
            ),
        ),
    ),
    Known(
        "a Deployment that rolls with its only volume",
        "The new pod waited for the volume that the old one kept.",
        (
            Case(
                name="the chart's own strategy",
                edit=edited(GITEA, ("    strategy: {type: Recreate}\n", "")),
                rule="value-strategy",
                words=(
                    "Deployment gitea/gitea",
                    "spec.strategy.type",
                    "PersistentVolumeClaim gitea/gitea-shared-storage",
                    "ReadWriteOnce",
                ),
            ),
            Case(
                name="another strategy",
                edit=edited(HARBOR, ("updateStrategy: {type: Recreate}", "updateStrategy: {type: RollingUpdate}")),
                rule="value-strategy",
                words=(
                    "Deployment harbor/harbor-registry",
                    "spec.strategy.type",
                    "harbor/harbor-registry",
                    "ReadWriteOnce",
                ),
            ),
            Case(
                name="a recorded chart with another strategy",
                edit=edited(
                    "charts/records/gitea.json",
                    ('"strategy": {"type": "Recreate"}', '"strategy": {"rollingUpdate": {"maxUnavailable": 0}}'),
                ),
                rule="volume-deadlock",
                words=(
                    "Deployment gitea/gitea",
                    "spec.strategy.type",
                    "PersistentVolumeClaim gitea/gitea-shared-storage",
                ),
            ),
            Case(
                name="a template of our own without the strategy",
                edit=edited(
                    "charts/app/templates/controllers.yaml", ("    type: Recreate\n", "    type: RollingUpdate\n")
                ),
                rule="volume-deadlock",
                words=(
                    "Deployment syncthing/syncthing",
                    "spec.strategy.type",
                    "syncthing/syncthing-data",
                    "ReadWriteOnce",
                ),
            ),
        ),
    ),
    Known(
        "no wait for what makes a Secret",
        "The application waited for something near to it; its pods crashed until the Secret came.",
        (
            Case(
                name="a database's authority",
                edit=edited(FLUX, ("  dependsOn:\n    - name: gitea-database\n", "")),
                rule="producer-first",
                words=(
                    "Kustomization flux-system/gitea",
                    "spec.dependsOn",
                    "Secret gitea/gitea-postgres-ca",
                    "gitea-database",
                ),
            ),
        ),
    ),
    Known(
        "a resource before its definition",
        "Nothing waited for the release with the definition: no matches for kind.",
        (
            Case(
                name="a Kustomization without the dependency",
                edit=edited(
                    MONITORING,
                    (
                        "  name: monitors\n  namespace: flux-system\nspec:\n  dependsOn:\n    - name: monitoring\n",
                        "  name: monitors\n  namespace: flux-system\nspec:\n",
                    ),
                ),
                rule="definition-first",
                words=(
                    "monitoring/",
                    "spec.dependsOn of Kustomization flux-system/monitors",
                    "release monitoring/monitoring",
                ),
            ),
            Case(
                name="a resource of the program without the dependency",
                change=no_order("IPAddressPool", "services-pool", "metallb", "MetalLb", "AddressPool"),
                rule="definition-first",
                words=("IPAddressPool metallb-system/services-pool", "depends_on", "release metallb-system/metallb"),
            ),
        ),
    ),
    Known(
        "a child that waits for the parent that waits for it",
        "Neither ever got ready.",
        (
            Case(
                name="a Kustomization in the folder of the one that it depends on",
                edit=contained,
                rule="loop",
                words=("monitoring/alerts", "flux-system/monitoring", "spec.wait", "spec.dependsOn"),
            ),
        ),
    ),
)
