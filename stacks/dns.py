"""The names layer: the cluster's DNS zone, records that follow the cluster's objects, and certificates for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from components.certificates.acme import AcmeIssuers, AcmeIssuersArgs
from components.certificates.dns01_webhook import Dns01Webhook, Dns01WebhookArgs
from components.dns.external_dns import ExternalDns, ExternalDnsArgs, host_annotations
from components.dns.powerdns import SERVICE, PowerDns, PowerDnsArgs
from components.dns.powerdns_operator import PowerDnsOperator, PowerDnsOperatorArgs
from components.dns.powerdns_secrets import API_CLIENTS, NAMESPACE
from components.dns.transfer_key import TransferKey, TransferKeyArgs
from components.dns.tsig import TsigKey
from components.dns.zone import DnsZone, DnsZoneArgs
from components.kit.chart import ChartSource
from components.kit.references import IssuerReference
from stacks.ingress import IngressLayer
from stacks.network import NetworkLayer
from stacks.secrets import SecretsLayer
from stacks.settings.credentials import Credentials
from stacks.settings.model import Settings
from stacks.storage import StorageLayer


@dataclass(frozen=True)
class DnsLayer:
    """What later layers need from names and certificates."""

    powerdns: PowerDns
    zone: DnsZone
    external_dns: ExternalDns
    transfer_key: TransferKey | None
    """The key the secondary signs with; None without an edge, and in a preview that does without the key."""
    trusted: IssuerReference
    """Issuer of certificates that clients must be able to verify: the cluster's own CA where Let's Encrypt is not
    asked, or issues staging certificates, which no client trusts."""


def deploy(
    settings: Settings,
    credentials: Credentials,
    *,
    network: NetworkLayer,
    ingress: IngressLayer,
    secrets: SecretsLayer,
    storage: StorageLayer,
) -> DnsLayer:
    """Deploy PowerDNS with the zone from the settings, external-dns, and the Let's Encrypt issuers if wanted.

    Nothing here waits until the zone is publicly visible: that takes the delegation and, with an edge, its
    secondary, which in turn fetches the zone from here.
    """
    charts = ChartSource(settings.charts.mirror)
    powerdns = PowerDns(
        "powerdns",
        PowerDnsArgs(
            secrets=partial(secrets.store.in_namespace, NAMESPACE),
            address=network.dns_pool.claim(SERVICE, settings.network.pools.dns.first),
            storage=storage.default,
            nameserver=settings.nameserver,
            transfer_allow=settings.transfer_allow,
            transfer_notify=settings.secondaries,
            api_clients=API_CLIENTS,
            annotations=_nameserver_record(settings),
            schedulable=settings.schedulable,
        ),
        opts=network.inside(),
    )
    operator = PowerDnsOperator(
        "powerdns-operator",
        PowerDnsOperatorArgs(charts=charts, kubeconfig=network.cluster.talos.kubeconfig, powerdns=powerdns),
        opts=network.inside(),
    )
    zone = DnsZone(
        "dns-zone",
        DnsZoneArgs(operator=operator, domain=settings.cluster.domain, nameservers=[settings.nameserver]),
        opts=network.inside(),
    )
    transfer_key = None
    if (tsig := _tsig(settings, credentials)) is not None:
        args = TransferKeyArgs(powerdns=powerdns, zone=zone, key=tsig)
        transfer_key = TransferKey("transfer-key", args, opts=network.inside())
    external_dns = ExternalDns(
        "external-dns",
        ExternalDnsArgs(
            charts=charts,
            powerdns=powerdns,
            zone=zone,
            owner=settings.cluster.name,
            ingress_class=ingress.nginx.class_name,
            ingress_address=str(settings.public_address or ingress.nginx.address),
        ),
        opts=network.inside(),
    )
    trusted = _trusted(settings, powerdns, zone, network=network, ingress=ingress)
    return DnsLayer(powerdns, zone, external_dns, transfer_key, trusted)


def _trusted(
    settings: Settings, powerdns: PowerDns, zone: DnsZone, *, network: NetworkLayer, ingress: IngressLayer
) -> IssuerReference:
    """The issuer that clients can verify; Let's Encrypt's exist beside it unless nobody is to ask there."""
    if not settings.certificates.acme:
        return ingress.ca.issuer
    issuers = _issuers(settings, powerdns, zone, network=network, ingress=ingress)
    return ingress.ca.issuer if settings.private_authority else issuers.public


def _issuers(
    settings: Settings, powerdns: PowerDns, zone: DnsZone, *, network: NetworkLayer, ingress: IngressLayer
) -> AcmeIssuers:
    """Let's Encrypt, by ways that both lead through this cluster: records of the zone, and the ingress."""
    webhook = Dns01Webhook(
        "dns01-webhook",
        Dns01WebhookArgs(
            charts=ChartSource(settings.charts.mirror),
            cert_manager=ingress.cert_manager,
            powerdns=powerdns,
            zone=zone,
            schedulable=settings.schedulable,
        ),
        opts=network.inside(),
    )
    return AcmeIssuers(
        "letsencrypt",
        AcmeIssuersArgs(
            cert_manager=ingress.cert_manager,
            webhook=webhook,
            nginx=ingress.nginx,
            email=settings.certificates.email,
            staging=settings.certificates.staging,
        ),
        opts=network.inside(),
    )


def _tsig(settings: Settings, credentials: Credentials) -> TsigKey | None:
    """The key from the settings; if they name one, its secret is set as well."""
    tsig = settings.edge.secondary.tsig if settings.edge else None
    if tsig is None or credentials.edge_tsig_key is None:
        return None
    return TsigKey(name=tsig.name, algorithm=tsig.algorithm, secret=credentials.edge_tsig_key)


def _nameserver_record(settings: Settings) -> dict[str, str]:
    """Annotations that publish the name server's address, if its name is in the zone that it serves."""
    if not settings.nameserver.endswith(f".{settings.cluster.domain}"):
        return {}
    return host_annotations(settings.nameserver, settings.public_address)
