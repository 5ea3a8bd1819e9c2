"""external-dns: the zone's records, from Ingresses and from Services that ask for one.

Owns the namespace and the Helm release. Does not own the zone, nor what a name resolves to: an Ingress's record has the
address that the ingress controller reports as the Ingress's own, which is the public one where there is an edge
(`nginx_ingress.py`). external-dns has flags for that, too, but `--default-targets` applies only to what has no address
at all, and `--force-default-targets`, deprecated, would overrule the annotation of a single Ingress, and send Services
to an edge that does not forward them. Must exist before: the zone, and a copy of the API key.

Each record that it makes is accompanied by a TXT record that marks it with this cluster's name. It changes and deletes
only marked records (policy `sync`), so that removing an Ingress removes its record; a record without the mark, or with
another cluster's, stays as it is, even where an Ingress claims its name. Of two Ingresses with one name it serves one.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pulumi
from pulumi_kubernetes.helm.v3 import Release

from components.dns.powerdns import PowerDns
from components.dns.zone import DnsZone
from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.network_policy import close_namespace
from components.kit.versions import EXTERNAL_DNS
from components.secrets.reloader import restart_on

NAMESPACE = "external-dns"


def host_annotations(name: str, target: IPv4Address | None = None) -> dict[str, str]:
    """On a Service of type LoadBalancer: give it the record `name`, for its own address or for `target`."""
    prefix = "external-dns.alpha.kubernetes.io"
    return {f"{prefix}/hostname": name, **({f"{prefix}/target": str(target)} if target else {})}


@dataclass(frozen=True, kw_only=True)
class ExternalDnsArgs:
    """Arguments of `ExternalDns`.

    owner: the name that marks its records as its own; every external-dns that writes to this zone needs another one.
    """

    charts: ChartSource
    powerdns: PowerDns
    zone: DnsZone
    owner: str

    def __post_init__(self) -> None:
        if not self.owner:
            raise ValueError("owner: empty; without a name external-dns could not tell its records from others")


class ExternalDns(pulumi.ComponentResource):
    """Host names that follow what is in the cluster."""

    ready: Release
    """Up when it runs; records follow within seconds."""

    def __init__(self, name: str, args: ExternalDnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:dns:ExternalDns", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", NAMESPACE, "restricted", parent=self)
        close_namespace(f"{name}-closed", namespace, parent=self)
        key = args.powerdns.api_key(namespace=NAMESPACE)
        configured: dict[str, Any] = values("external-dns")
        configured["domainFilters"] = [args.zone.domain]
        configured["txtOwnerId"] = args.owner
        configured["extraArgs"]["pdns-server"] = args.powerdns.api_url
        configured["env"] = [key.environment("EXTERNAL_DNS_PDNS_API_KEY")]
        configured["deploymentAnnotations"] = restart_on(key)
        self.ready = args.charts.install(
            EXTERNAL_DNS,
            name,
            parent=self,
            name="external-dns",
            namespace=namespace.metadata.name,
            values=configured,
            depends_on=[args.powerdns.ready, args.zone.ready, key.ready],
            # DNSEndpoint, which none of its sources reads.
            skip_crds=True,
        )
        self.register_outputs({"release": self.ready.name})
