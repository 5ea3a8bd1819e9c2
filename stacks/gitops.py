"""The hand-over layer: Flux, and the repository from which it deploys the applications.

Everything before it is the program's; what Flux deploys is the repository's. docs/gitops.md draws the border.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pulumi
import pulumi_random as random

from components.database.postgres import METRICS as POSTGRES_METRICS
from components.dns.external_dns import NAMESPACE as EXTERNAL_DNS
from components.dns.powerdns_secrets import NAMESPACE as POWERDNS
from components.gitops.flux import NAMESPACE as FLUX_NAMESPACE
from components.gitops.flux import Flux, FluxArgs
from components.gitops.git_link import GitLink, GitLinkArgs
from components.gitops.git_source import GitSource, GitSourceArgs
from components.gitops.hand_over import DeployKey, HandOver, HandOverArgs
from components.gitops.receiver import Receiver, ReceiverArgs
from components.gitops.scraping import Scraped, Scraping, ScrapingArgs
from components.identity.authentik import NAME as AUTHENTIK
from components.identity.authentik_secrets import NAMESPACE as AUTHENTIK_NAMESPACE
from components.kit.chart import ChartSource
from components.kit.network_policy import Pods
from components.network import nginx_ingress
from components.secrets.sealed_secrets import KEYPAIR_NAME
from components.storage.proxmox_csi import NAMESPACE as PROXMOX_CSI
from components.vault.clients import VAULT_NAMESPACE
from stacks.applications import ApplicationsLayer
from stacks.dns import DnsLayer
from stacks.identity import IdentityLayer
from stacks.ingress import IngressLayer
from stacks.network import NetworkLayer
from stacks.settings.credentials import Credentials
from stacks.settings.model import Gitops, Settings
from stacks.storage import StorageLayer

GITEA = Pods(labels={"app.kubernetes.io/name": "gitea"}, namespace="gitea")
"""The application that tells Flux of each push."""

SCRAPED = {
    AUTHENTIK: {
        "authentik": Scraped(labels={"app.kubernetes.io/name": AUTHENTIK}, ports=[9300]),
        "database": Scraped(labels={"cnpg.io/podRole": "instance"}, ports=[POSTGRES_METRICS]),
    },
    EXTERNAL_DNS: {"external-dns": Scraped(labels={"app.kubernetes.io/name": "external-dns"}, ports=[7979])},
    POWERDNS: {
        # On the port of the API, which asks for its key.
        "powerdns": Scraped(labels={"app.kubernetes.io/component": "server"}, ports=[8081]),
        "operator": Scraped(labels={"app.kubernetes.io/name": "powerdns-operator"}, ports=[8080]),
    },
    PROXMOX_CSI: {"controller": Scraped(labels={"app.kubernetes.io/component": "controller"}, ports=[8080])},
    # Of the unsealer beside each server (cmd/bank-vaults/metrics.go); Vault's own metrics need a token.
    VAULT_NAMESPACE: {"vault": Scraped(labels={"app.kubernetes.io/name": "vault"}, ports=[9091])},
    # The controllers and their operator.
    FLUX_NAMESPACE: {"flux": Scraped(labels={}, ports=[8080])},
}
"""Pods in closed namespaces whose metrics are read, and where they have them."""


def deploy(
    settings: Settings,
    credentials: Credentials,
    *,
    network: NetworkLayer,
    ingress: IngressLayer,
    storage: StorageLayer,
    dns: DnsLayer,
    identity: IdentityLayer,
    applications: ApplicationsLayer,
) -> None:
    """Deploy Flux and hand the applications over to it; nothing without `homelab:gitops`."""
    gitops = settings.gitops
    if gitops is None:
        return
    flux = Flux(
        "flux",
        FluxArgs(charts=ChartSource(settings.charts.mirror), callers=[GITEA]),
        opts=network.inside(),
    )
    hand_over = HandOver(
        "applications",
        HandOverArgs(
            flux=flux,
            url=_source(gitops, flux, network=network),
            branch=gitops.branch,
            path=gitops.path,
            key=_key(settings, credentials.git_deploy_key),
            variables=variables(
                settings, gitops, network=network, ingress=ingress, storage=storage, dns=dns, identity=identity
            ),
            chart_mirror=_chart_mirror(settings, gitops),
        ),
        # What an application refers to is there before it: issuers, the zone, sign-on, the class of its volumes.
        opts=network.inside(
            ingress.nginx.ready,
            storage.default.ready,
            dns.trusted.ready,
            dns.zone.ready,
            identity.authentik.ready,
            applications.border.ready,
            *(part for namespace in applications.namespaces.values() for part in namespace.ready),
        ),
    )
    Scraping(
        "scraping",
        ScrapingArgs(pods=SCRAPED),
        opts=network.inside(flux.ready, dns.external_dns.ready, identity.authentik.ready),
    )
    _link(settings, credentials, gitops, flux, hand_over, network=network, applications=applications)


def _link(
    settings: Settings,
    credentials: Credentials,
    gitops: Gitops,
    flux: Flux,
    hand_over: HandOver,
    *,
    network: NetworkLayer,
    applications: ApplicationsLayer,
) -> None:
    """Where Flux hears of a push, and what Gitea is told of that and of the seed."""
    generator = random.Provider("random", opts=pulumi.ResourceOptions(depends_on=[network.cluster.kubernetes]))
    receiver = Receiver(
        "receiver",
        ReceiverArgs(flux=flux, hand_over=hand_over),
        opts=pulumi.ResourceOptions.merge(network.inside(), pulumi.ResourceOptions(providers=[generator])),
    )
    GitLink(
        "git-link",
        GitLinkArgs(
            namespace=applications.namespace(str(GITEA.namespace)).namespace.metadata.name,
            webhook=receiver.url,
            token=receiver.token,
            own=gitops.own,
            seed=gitops.seed,
            branch=gitops.branch,
            from_own=gitops.source == "self",
            key=_key(settings, credentials.git_push_key),
        ),
        opts=network.inside(),
    )


def variables(
    settings: Settings,
    gitops: Gitops,
    *,
    network: NetworkLayer,
    ingress: IngressLayer,
    storage: StorageLayer,
    dns: DnsLayer,
    identity: IdentityLayer,
) -> dict[str, pulumi.Input[str]]:
    """What `${name}` stands for in the files of the applications: names and addresses of what is there before them."""
    primary = settings.network.pools.dns.first
    return {
        "stack": pulumi.get_stack(),
        "domain": settings.cluster.domain,
        "ingress_address": ingress.nginx.address,
        "ingress_class": ingress.nginx.class_name,
        "ingress_namespace": str(nginx_ingress.PODS.namespace),
        "services_pool": network.services_pool.pool_name,
        "dns_pool": network.dns_pool.pool_name,
        "storage_class": storage.default.name,
        "cluster_issuer": dns.trusted.name,
        "sign_on_url": identity.authentik.url,
        "sign_on_namespace": AUTHENTIK_NAMESPACE,
        "service_subnet": str(settings.network.service_cidr),
        "pod_subnet": str(settings.network.pod_cidr),
        "name_server_address": str(primary),
        "secondary_address": str(settings.edge.secondary.address if settings.edge else primary),
        "sealing_key": KEYPAIR_NAME,
        "seed_port": str(_port(gitops.seed)),
    }


def _source(gitops: Gitops, flux: Flux, *, network: NetworkLayer) -> pulumi.Input[str]:
    """Where Flux reads; only the seed is outside the cluster, and needs the key."""
    if gitops.source == "seed":
        return gitops.seed
    return GitSource(
        "git-source",
        GitSourceArgs(
            flux=flux,
            seed=gitops.seed,
            own=gitops.own,
            branch=gitops.branch,
            kubeconfig=network.cluster.talos.kubeconfig,
        ),
        opts=network.inside(),
    ).url


def _key(settings: Settings, private_key: pulumi.Output[str] | None) -> DeployKey | None:
    """A key for the seed; only one that is read over SSH has any."""
    gitops = settings.gitops
    if gitops is None or not gitops.over_ssh or private_key is None:
        return None
    return DeployKey(url=gitops.seed, private_key=private_key, host_key=settings.seed_host_key)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or {"ssh": 22, "http": 80, "https": 443}[parts.scheme]


def _chart_mirror(settings: Settings, gitops: Gitops) -> str | None:
    """A mirror that is a directory is one of the machine that runs Pulumi, where no pod can read it."""
    general = settings.charts.mirror
    return gitops.chart_mirror or (general if general and "://" in general else None)
