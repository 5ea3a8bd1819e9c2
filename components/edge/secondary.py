"""The zone's public name server: PowerDNS on the edge host, as a secondary of the one in the cluster.

Owns a file of settings on that host, the zone there and its TSIG key (`on_host/powerdns.py`). Does not own PowerDNS
itself, other zones of the host, the primary, or the delegation in the parent zone.
Must exist before: the host with PowerDNS 4.5 or newer, set up as Debian's package does, on a backend that can make
zones (SQLite is enough); and a route from it to the primaries.

Addresses are translated between the cluster and the edge, by the node and by the VPN: a NOTIFY never carries the
primary's address, and PowerDNS would refuse it. So the networks that it may come from are trusted as proxies that
forward it. A forged one from there causes only an SOA query to the primary, the only source that the zone is fetched
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pulumi
from pulumi_command import remote

from components.dns.tsig import TsigKey
from components.edge.ssh import SshHost
from components.kit.ports import DNS

CHECK_INTERVAL = 15
"""Seconds between checks for zones whose SOA refresh is due; PowerDNS's own default is 60."""


@dataclass(frozen=True, kw_only=True)
class PowerDnsLayout:
    """Where a host's PowerDNS keeps its files; the defaults are those of Debian's package.

    directory: of pdns.conf, which includes the directory of the two files. group: whose members may read them.
    api_port: on loopback, for hosts whose PowerDNS has no API. record: what the host remembers of this component.
    """

    directory: str = "/etc/powerdns"
    file: str = "/etc/powerdns/pdns.d/zz-homelab.conf"
    api_file: str = "/etc/powerdns/pdns.d/zz-homelab-api.conf"
    group: str = "pdns"
    api_port: int = 18081
    restart: tuple[str, ...] = ("systemctl", "restart", "pdns")
    record: str = "/var/lib/homelab/powerdns.json"


@dataclass(frozen=True, kw_only=True)
class EdgeSecondaryArgs:
    """Arguments of `EdgeSecondary`.

    zone: without a final dot. primaries: where it is transferred from, asked in turn.
    notified_by: networks that a NOTIFY arrives from. tsig: for transfers, if the primary asks for it.
    """

    host: SshHost
    zone: str
    primaries: Sequence[IPv4Address]
    notified_by: Sequence[IPv4Network]
    tsig: TsigKey | None = None
    primary_port: int = DNS
    layout: PowerDnsLayout = PowerDnsLayout()

    def __post_init__(self) -> None:
        if not self.primaries:
            raise ValueError(f"primaries: none, so zone {self.zone} could not be fetched from anywhere; name one")
        if self.zone.endswith(".") or self.zone != self.zone.lower():
            raise ValueError(f"zone: {self.zone} is not written as here: lower case, without a final dot")


class EdgeSecondary(pulumi.ComponentResource):
    """A zone's secondary on the edge host."""

    ready: remote.Command
    """Up when PowerDNS on the host knows the zone's primaries; its transfer may come later."""

    def __init__(self, name: str, args: EdgeSecondaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:edge:EdgeSecondary", name, None, opts)
        layout = args.layout
        port = "" if args.primary_port == DNS else f":{args.primary_port}"
        self.ready = args.host.program(
            f"{name}-powerdns",
            "powerdns",
            {
                "host": args.host.host,
                "owner": args.zone,
                "settings": {
                    "secondary": "yes",
                    "trusted-notification-proxy": ", ".join(map(str, args.notified_by)),
                    "xfr-cycle-interval": str(CHECK_INTERVAL),
                },
                "zone": {
                    "name": f"{args.zone}.",
                    "primaries": [f"{address}{port}" for address in args.primaries],
                    "tsig": args.tsig and args.tsig.body,
                },
                "directory": layout.directory,
                "file": layout.file,
                "apiFile": layout.api_file,
                "apiPort": layout.api_port,
                "group": layout.group,
                "restart": layout.restart,
                "record": layout.record,
                "packages": "pdns-server pdns-backend-sqlite3",
            },
            install="install",
            remove="remove",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"installed": self.ready.id})
