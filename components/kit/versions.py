"""The versions that this program itself pins, in one place.

Talos and Kubernetes are not here: they belong to a site and are settings (`homelab:versions`). A chart's version is
part of the program, because its values in `charts/values/` are written for exactly that version.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChartPin:
    """A Helm chart at one version, as its publisher serves it.

    `repository` is an https:// Helm repository or an oci:// registry path without the chart's name.
    """

    name: str
    version: str
    repository: str


@dataclass(frozen=True)
class ImagePin:
    """A container image at one version, for images that our own resources name directly."""

    repository: str
    version: str

    @property
    def reference(self) -> str:
        """The value of a container's `image`."""
        return f"{self.repository}:{self.version}"


# renovate: datasource=helm depName=cilium registryUrl=https://helm.cilium.io
CILIUM = ChartPin("cilium", "1.20.0", "https://helm.cilium.io")

# renovate: datasource=helm depName=coredns registryUrl=https://coredns.github.io/helm
COREDNS = ChartPin("coredns", "1.46.2", "https://coredns.github.io/helm")

# The one that Talos would run, newer than the chart's own; the tests run it, too.
# renovate: datasource=docker depName=registry.k8s.io/coredns/coredns
COREDNS_SERVER = ImagePin("registry.k8s.io/coredns/coredns", "v1.14.6")

# renovate: datasource=helm depName=metallb registryUrl=https://metallb.github.io/metallb
METALLB = ChartPin("metallb", "0.16.1", "https://metallb.github.io/metallb")

# renovate: datasource=helm depName=kubelet-csr-approver registryUrl=https://postfinance.github.io/kubelet-csr-approver
KUBELET_CSR_APPROVER = ChartPin("kubelet-csr-approver", "1.2.14", "https://postfinance.github.io/kubelet-csr-approver")

# renovate: datasource=docker depName=ghcr.io/nginx/charts/nginx-ingress
NGINX_INGRESS = ChartPin("nginx-ingress", "2.6.4", "oci://ghcr.io/nginx/charts")

# renovate: datasource=docker depName=quay.io/jetstack/charts/cert-manager
CERT_MANAGER = ChartPin("cert-manager", "v1.21.1", "oci://quay.io/jetstack/charts")

# renovate: datasource=docker depName=ghcr.io/sergelogvinov/charts/proxmox-csi-plugin
PROXMOX_CSI = ChartPin("proxmox-csi-plugin", "0.5.9", "oci://ghcr.io/sergelogvinov/charts")

# renovate: datasource=helm depName=sealed-secrets registryUrl=https://bitnami-labs.github.io/sealed-secrets
SEALED_SECRETS = ChartPin("sealed-secrets", "2.18.5", "https://bitnami-labs.github.io/sealed-secrets")

# renovate: datasource=helm depName=external-secrets registryUrl=https://charts.external-secrets.io
EXTERNAL_SECRETS = ChartPin("external-secrets", "2.9.0", "https://charts.external-secrets.io")

# renovate: datasource=docker depName=ghcr.io/bank-vaults/helm-charts/vault-operator
VAULT_OPERATOR = ChartPin("vault-operator", "1.24.0", "oci://ghcr.io/bank-vaults/helm-charts")

# The newest minor version whose server can be built from its Go module, so that the tests run it; they and
# components/vault/keys.yaml go with it. The operator also works with 2.x, whose requirement (disable_mlock) is met.
# renovate: datasource=docker depName=hashicorp/vault
VAULT = ImagePin("docker.io/hashicorp/vault", "1.21.4")

# The configurer and unsealer that the operator's chart names; the tests run it, too.
# renovate: datasource=docker depName=ghcr.io/bank-vaults/bank-vaults
BANK_VAULTS = ImagePin("ghcr.io/bank-vaults/bank-vaults", "v1.33.1")

# renovate: datasource=helm depName=reloader registryUrl=https://stakater.github.io/stakater-charts
RELOADER = ChartPin("reloader", "2.2.16", "https://stakater.github.io/stakater-charts")

# renovate: datasource=docker depName=ghcr.io/emberstack/helm-charts/reflector
REFLECTOR = ChartPin("reflector", "10.0.63", "oci://ghcr.io/emberstack/helm-charts")

# renovate: datasource=helm depName=powerdns-operator registryUrl=https://powerdns-operator.github.io/PowerDNS-Operator-helm-chart
POWERDNS_OPERATOR = ChartPin(
    "powerdns-operator", "0.6.0", "https://powerdns-operator.github.io/PowerDNS-Operator-helm-chart"
)

# renovate: datasource=helm depName=external-dns registryUrl=https://kubernetes-sigs.github.io/external-dns
EXTERNAL_DNS = ChartPin("external-dns", "1.21.1", "https://kubernetes-sigs.github.io/external-dns")

# renovate: datasource=helm depName=cert-manager-webhook-pdns registryUrl=https://zachomedia.github.io/cert-manager-webhook-pdns
CERT_MANAGER_WEBHOOK_PDNS = ChartPin(
    "cert-manager-webhook-pdns", "3.2.5", "https://zachomedia.github.io/cert-manager-webhook-pdns"
)

# renovate: datasource=docker depName=ghcr.io/controlplaneio-fluxcd/charts/flux-operator
FLUX_OPERATOR = ChartPin("flux-operator", "0.58.1", "oci://ghcr.io/controlplaneio-fluxcd/charts")

# The operator knows the releases that its own source has in config/data/flux: an update of it comes first.
# renovate: datasource=github-releases depName=fluxcd/flux2
FLUX = "2.9.4"

# renovate: datasource=helm depName=longhorn registryUrl=https://charts.longhorn.io
LONGHORN = ChartPin("longhorn", "1.12.1", "https://charts.longhorn.io")

# renovate: datasource=helm depName=snapshot-controller registryUrl=https://piraeus.io/helm-charts/
SNAPSHOT_CONTROLLER = ChartPin("snapshot-controller", "5.2.0", "https://piraeus.io/helm-charts")

# Deprecates and renames fields of blueprints from release to release: checks/authentik_models.yaml goes with it.
# renovate: datasource=helm depName=authentik registryUrl=https://charts.goauthentik.io
AUTHENTIK = ChartPin("authentik", "2026.8.0", "https://charts.goauthentik.io")

# What servers, workers and a Job of ours run: a patch of the chart's own line, which may be newer than the chart.
# renovate: datasource=docker depName=ghcr.io/goauthentik/server
AUTHENTIK_SERVER = ImagePin("ghcr.io/goauthentik/server", "2026.8.3")

# renovate: datasource=helm depName=cloudnative-pg registryUrl=https://cloudnative-pg.github.io/charts
CLOUDNATIVE_PG = ChartPin("cloudnative-pg", "0.29.0", "https://cloudnative-pg.github.io/charts")

# The major version that Authentik's own chart would run; moving to another one is a migration, never a mere update.
# renovate: datasource=docker depName=ghcr.io/cloudnative-pg/postgresql
POSTGRESQL = ImagePin("ghcr.io/cloudnative-pg/postgresql", "17.11-system-trixie")
