"""How cert-manager proves to an ACME server that a name is ours: by a TXT record in PowerDNS.

Owns the Helm release of cert-manager-webhook-pdns, an API server to which Kubernetes' own forwards cert-manager's
requests. Does not own issuers (`acme.py`), nor the zone. It lives in cert-manager's namespace, where it finds the API
key for ClusterIssuers. Must exist before: cert-manager, which gives it its serving certificate.

Its chart lets it read every Secret of the cluster, as the key may be in any namespace; so may cert-manager. No chart
value narrows this. Two replicas: an API group that does not answer also holds up the deletion of namespaces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from components.certificates.cert_manager import SERVICE_ACCOUNT, CertManager
from components.dns.powerdns import PowerDns
from components.dns.zone import DnsZone
from components.kit.chart import ChartSource, values
from components.kit.release import Release
from components.kit.scheduling import HOSTNAME, replicas
from components.kit.versions import CERT_MANAGER_WEBHOOK_PDNS


@dataclass(frozen=True, kw_only=True)
class Dns01WebhookArgs:
    """Arguments of `Dns01Webhook`.

    zone: the only one that it may write to.
    schedulable: how many nodes take ordinary pods.
    """

    charts: ChartSource
    cert_manager: CertManager
    powerdns: PowerDns
    zone: DnsZone
    schedulable: int


class Dns01Webhook(pulumi.ComponentResource):
    """A solver of DNS-01 challenges for names in one zone."""

    solver: dict[str, Any]
    """An entry of an ACME issuer's `solvers`."""

    ready: Release
    """Up when it serves; a challenge that comes earlier is retried."""

    def __init__(self, name: str, args: Dns01WebhookArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:certificates:Dns01Webhook", name, None, opts)
        release_name, group = "cert-manager-webhook-pdns", f"acme.{args.zone.domain}"
        namespace = args.cert_manager.namespace
        key = args.powerdns.api_key(namespace=namespace)
        configured: dict[str, Any] = values(release_name)
        configured["groupName"] = group
        configured["certManager"] = {"namespace": namespace, "serviceAccountName": SERVICE_ACCOUNT}
        configured["replicaCount"] = replicas(args.schedulable)
        configured["affinity"] = _apart(release_name)
        self.ready = args.charts.install(
            CERT_MANAGER_WEBHOOK_PDNS,
            name,
            parent=self,
            name=release_name,
            namespace=namespace,
            values=configured,
            depends_on=[args.cert_manager.ready, key.ready],
        )
        self.solver = {
            # A name outside the zone fails at once rather than at the ACME server.
            "selector": {"dnsZones": [args.zone.domain]},
            "dns01": {
                "webhook": {
                    "groupName": group,
                    "solverName": "pdns",
                    "config": {
                        "host": args.powerdns.api_url,
                        "apiKeySecretRef": key.selector,
                        # Seconds; without it the webhook writes 0.
                        "ttl": 60,
                        "timeout": 30,
                        # With the final dot, as the webhook compares it with what DNS answers.
                        "allowed-zones": [f"{args.zone.domain}."],
                    },
                }
            },
        }
        self.register_outputs({"group": group, "release": self.ready.name})


def _apart(release: str) -> dict[str, Any]:
    """An affinity that prefers different nodes for a release's pods; the chart supports no spread constraints."""
    labels = {"app.kubernetes.io/instance": release}
    term = {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": labels}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
