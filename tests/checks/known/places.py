"""Known faults of networks, storage, and what lies where."""

from __future__ import annotations

from tests.checks.changes import at, settings, talos, unlabelled
from tests.checks.known.edits import DATABASE, FLUX, GITEA, gone, patched
from tests.checks.known.fault import Case, Known
from tests.checks.platforms import edited, several

PLACES: tuple[Known, ...] = (
    Known(
        "a network that is none",
        "The routes to all addresses were lost.",
        (
            Case(
                name="host bits in a route",
                change=settings("tailscale", "routes", value=["10.0.3.4/28"]),
                rule="host-bits",
                words=("tailscale.routes", "10.0.3.4/28", "10.0.3.0/28"),
            ),
            Case(
                name="a range that ends before it begins",
                change=at("IPAddressPool", "services-pool", "spec", "addresses", value=["10.0.3.20-10.0.3.4"]),
                rule="address-pool",
                words=("IPAddressPool metallb-system/services-pool", "10.0.3.20-10.0.3.4"),
            ),
            Case(
                name="a pool outside the nodes' network",
                change=at("IPAddressPool", "services-pool", "spec", "addresses", value=["10.9.3.4-10.9.3.20"]),
                rule="address-pool",
                words=("IPAddressPool metallb-system/services-pool", "10.9.3.4-10.9.3.20", "10.0.0.0/16"),
            ),
            Case(
                name="pods in the site's own network",
                change=talos(("cluster", "network", "podSubnets"), ["10.0.128.0/17"]),
                rule="inner-network",
                words=("podSubnets", "10.0.128.0/17", "10.0.0.0/16"),
            ),
        ),
    ),
    Known(
        "a class that nothing provides",
        "The claim stayed Pending.",
        (
            Case(
                name="of a database",
                edit=edited(DATABASE, ("${storage_class}", "proxmx")),
                rule="reference",
                words=("Cluster gitea/gitea-postgres", "storageClass", "proxmx", "proxmox"),
            ),
            Case(
                name="in a chart's value",
                edit=edited(GITEA, ("storageClass: ${storage_class}", "storageClass: proxmx")),
                rule="value-reference",
                words=("release gitea/gitea", "values.persistence.storageClass", "StorageClass proxmx", "proxmox"),
            ),
            Case(
                name="in our own chart",
                edit=edited(
                    "gitops/syncthing/release.yaml", ("storageClass: ${storage_class}", "storageClass: longhorn")
                ),
                rule="reference",
                words=("PersistentVolumeClaim syncthing/syncthing-data", "storageClassName", "longhorn", "proxmox"),
            ),
            Case(
                name="of an Ingress",
                edit=patched("{op: replace, path: /spec/ingressClassName, value: ngnix}"),
                rule="reference",
                words=("Ingress gitea/gitea", "spec.ingressClassName", "IngressClass ngnix", "nginx"),
            ),
            Case(
                name="a pool of addresses",
                edit=edited("gitops/syncthing/release.yaml", ("${services_pool}", "service-pool")),
                rule="reference",
                words=("Service syncthing/syncthing", "metallb.io/address-pool", "service-pool", "services-pool"),
            ),
        ),
    ),
    Known(
        "an issuer that was renamed",
        "No certificate was issued.",
        (
            Case(
                name="of a Certificate",
                edit=edited(
                    "gitops/harbor/token-key.yaml",
                    ("{kind: Issuer, name: harbor-token}", "{kind: Issuer, name: harbor}"),
                ),
                rule="reference",
                words=("Certificate harbor/harbor-token", "spec.issuerRef", "Issuer harbor/harbor", "harbor-token"),
            ),
            Case(
                name="of another kind",
                change=at(
                    "Certificate",
                    "wildcard-tls",
                    "spec",
                    "issuerRef",
                    value={"kind": "Issuer", "name": "letsencrypt-prod-dns"},
                ),
                rule="reference",
                words=(
                    "Certificate cert-manager/wildcard-tls",
                    "spec.issuerRef",
                    "Issuer cert-manager/letsencrypt-prod-dns",
                    "ClusterIssuer",
                ),
            ),
            Case(
                name="in an Ingress's annotation",
                edit=patched(
                    "{op: add, path: /metadata/annotations/cert-manager.io~1cluster-issuer, value: letsencrypt}"
                ),
                rule="reference",
                words=(
                    "Ingress gitea/gitea",
                    "metadata.annotations[cert-manager.io/cluster-issuer]",
                    "ClusterIssuer letsencrypt",
                    "letsencrypt-prod-dns",
                ),
            ),
        ),
    ),
    Known(
        "pods that their namespace does not allow",
        "The DaemonSet made no pod, and said so nowhere that anybody looked.",
        (
            Case(
                name="speakers without the label",
                change=unlabelled("metallb-system"),
                rule="pod-security",
                words=("DaemonSet metallb-system/metallb-speaker", "hostNetwork=true", "no label"),
            ),
            Case(
                name="what looks at hosts without the label",
                change=unlabelled("node-exporter"),
                rule="pod-security",
                words=("DaemonSet node-exporter/monitoring-prometheus-node-exporter", "host", "no label"),
            ),
            Case(
                name="a container without its settings",
                edit=edited(
                    "gitops/harbor/setup/cron-job.yaml",
                    ("                allowPrivilegeEscalation: false\n", ""),
                ),
                rule="pod-security",
                words=("CronJob harbor/harbor-setup", "allowPrivilegeEscalation", "restricted"),
            ),
        ),
    ),
    Known(
        "a file that nothing lists, and a line for one that is gone",
        "What it declares was never made.",
        (
            Case(
                name="a file that nothing lists",
                edit=edited("gitops/gitea/kustomization.yaml", ("  - network-policies.yaml\n", "")),
                rule="unlisted-file",
                words=("gitops/gitea/network-policies.yaml", "gitops/gitea/kustomization.yaml"),
            ),
            Case(
                name="a line in the root",
                edit=edited("gitops/kustomization.yaml", ("  - traces/flux.yaml\n", "")),
                rule="unlisted-file",
                words=("gitops/traces/flux.yaml", "kustomization.yaml"),
            ),
            Case(
                name="a line for a file that is gone",
                edit=gone("gitops/gitea/network-policies.yaml"),
                rule="flux-build",
                words=("Kustomization flux-system/gitea", "network-policies.yaml"),
            ),
        ),
    ),
    Known(
        "a dependency on nobody",
        "The old name after a split, or an object of another kind.",
        (
            Case(
                name="a Kustomization",
                edit=edited(FLUX, ("    - name: gitea-database\n", "    - name: gitea-postgres\n")),
                rule="reference",
                words=("Kustomization flux-system/gitea", "spec.dependsOn[0].name", "gitea-postgres", "gitea-database"),
            ),
            Case(
                name="a release that depends on a Kustomization",
                edit=several(
                    edited(
                        GITEA,
                        (
                            "  timeout: 15m\n",
                            "  timeout: 15m\n  dependsOn: [{name: gitea-database, namespace: flux-system}]\n",
                        ),
                    )
                ),
                rule="reference",
                words=(
                    "HelmRelease gitea/gitea",
                    "spec.dependsOn[0].name",
                    "HelmRelease flux-system/gitea-database",
                    "Kustomization",
                ),
            ),
        ),
    ),
)
