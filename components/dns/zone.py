"""A zone of PowerDNS: its kind, its name servers and how its serial is counted.

Owns the ClusterZone; the operator makes the zone from it, and deletes it, with all records, along with it. Does not own
records: the operator manages only the zone's NS, and SOA is PowerDNS's own. Must exist before: the operator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.dns.powerdns_operator import PowerDnsOperator
from components.kit.readiness import until

_NAME = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class DnsZoneArgs:
    """Arguments of `DnsZone`.

    domain: name of the zone.
    nameservers: the public ones, as the delegation names them.
    """

    operator: PowerDnsOperator
    domain: str
    nameservers: Sequence[str]

    def __post_init__(self) -> None:
        if not self.nameservers:
            raise ValueError(f"nameservers: {self.domain} has none, and nobody could query it; name at least one")
        for name in (self.domain, *self.nameservers):
            # The operator's CRD refuses a final dot, though PowerDNS wants one.
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not a name for {self.domain}; write it in lower case, without a final dot"
                )


class DnsZone(pulumi.ComponentResource):
    """A zone that is served."""

    domain: str

    ready: CustomResource
    """After this PowerDNS has the zone; whatever makes records depends on it."""

    def __init__(self, name: str, args: DnsZoneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:dns:DnsZone", name, None, opts)
        self.domain = args.domain
        self.ready = CustomResource(
            name,
            api_version="dns.cav.enablers.ob/v1alpha2",
            kind="ClusterZone",
            metadata=ObjectMetaArgs(name=args.domain, annotations=until("Available")),
            spec={
                # For a primary with secondaries: a zone of kind Native is neither transferred on request nor announced.
                "kind": "Master",
                "nameservers": list(args.nameservers),
                "soa_edit_api": "DEFAULT",
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.operator.ready],
                custom_timeouts=pulumi.CustomTimeouts(create="5m", update="5m", delete="2m"),
            ),
        )
        self.register_outputs({"domain": self.domain})
