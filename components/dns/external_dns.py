"""external-dns: the zone's records, from Ingresses and from Services that ask for one.

Owns the namespace and the Helm release. Does not own the zone. Must exist before: the zone, and a copy of the API key.

An Ingress has its names for as long as it exists, at one address that is known beforehand. The source `ingress` would
take the address from the Ingress's status instead, and the controller empties that of an Ingress which it rejects, say
after a typing error in an annotation: the record of a service in use would go, and resolvers would remember for a while
that there is none. No flag prevents that: `--default-targets` reaches only what a source hands on without an address,
and that source hands on nothing then (`endpoint.EndpointsForHostname`). So Ingresses are read by the source
`unstructured`, with a template for the names and their address.

Each record that it makes is accompanied by a TXT record that marks it with this cluster's name. It changes and deletes
only marked records (policy `sync`), so that removing an Ingress removes its record; a record without the mark, or with
another cluster's, stays as it is, even where an Ingress claims its name. Of two Ingresses with one name it serves one.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pulumi

from components.dns.powerdns import PowerDns
from components.dns.zone import DnsZone
from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.network_policy import close_namespace
from components.kit.release import Release
from components.kit.versions import EXTERNAL_DNS
from components.secrets.reloader import restart_on

NAMESPACE = "external-dns"

_PREFIX = "external-dns.alpha.kubernetes.io"


def host_annotations(name: str, target: IPv4Address | None = None) -> dict[str, str]:
    """On a Service of type LoadBalancer: give it the record `name`, for its own address or for `target`."""
    return {f"{_PREFIX}/hostname": name, **({f"{_PREFIX}/target": str(target)} if target else {})}


@dataclass(frozen=True, kw_only=True)
class ExternalDnsArgs:
    """Arguments of `ExternalDns`.

    owner: the name that marks its records as its own; every external-dns that writes to this zone needs another one.
    ingress_class: the Ingresses that have names.
    ingress_address: what these names resolve to, unless the Ingress's annotation `target` says otherwise.
    """

    charts: ChartSource
    powerdns: PowerDns
    zone: DnsZone
    owner: str
    ingress_class: str
    ingress_address: str

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
        # The chart renders its arguments as templates of its own; in backquotes, this one passes through unchanged.
        names = _names(args.ingress_class, args.ingress_address)
        configured["extraArgs"]["fqdn-target-template"] = f"{{{{`{names}`}}}}"
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


def _names(ingress_class: str, address: str) -> str:
    """The template that makes `name:address` pairs, separated by commas, from an Ingress.

    https://github.com/kubernetes-sigs/external-dns/blob/v0.21.0/docs/sources/unstructured.md. An Ingress that lacks a
    field must not make it fail: external-dns would then change no record at all. Of several addresses in the annotation
    each needs the name in front; names in the annotation `hostname` get the first one.
    """
    pair = '{{$name}}:{{replace "," (print "," $name ":") $target}},'
    further = f'{{{{with index .Annotations "{_PREFIX}/hostname"}}}}{{{{replace "," (print ":" $target ",") .}}}}'
    return (
        f'{{{{if eq (print .Spec.ingressClassName) "{ingress_class}"}}}}'
        f'{{{{$target := or (index .Annotations "{_PREFIX}/target") "{address}"}}}}'
        f"{{{{range .Spec.rules}}}}{{{{with .host}}}}{{{{$name := .}}}}{pair}{{{{end}}}}{{{{end}}}}"
        f"{{{{range .Spec.tls}}}}{{{{range $name := .hosts}}}}{pair}{{{{end}}}}{{{{end}}}}"
        f"{further}:{{{{$target}}}},{{{{end}}}}"
        "{{end}}"
    )
