"""What the edge host is told: the files of its nginx and PowerDNS, rendered as plain text.

Owns the routing by server name (TLS is passed through untouched, so keys and certificates stay in the cluster), the
plain HTTP way for ACME's HTTP-01, and the settings of the public secondary. Makes no resource and opens no connection:
`Edge` installs the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

STREAM_FILE = "/etc/nginx/modules-enabled/95-homelab-stream.conf"
"""Debian's nginx reads this directory outside of `http {}`, after the stream module is loaded (50-mod-stream.conf)."""

HTTP_FILE = "/etc/nginx/conf.d/homelab.conf"
SECONDARY_FILE = "/etc/powerdns/pdns.d/homelab-secondary.conf"
REFUSING_SOCKET = "/run/nginx-homelab-refuse.sock"

CONNECT_TIMEOUT = 2
"""Seconds until a backend that does not answer is given up for the next."""

RETRY_AFTER = 10
"""Seconds for which a backend that failed once gets no connection."""

_NAME = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True)
class Backend:
    """Where connections go: addresses that are tried in turn, and a port."""

    addresses: tuple[IPv4Address, ...]
    port: int

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("addresses: none, and a backend without an address answers nobody; name one")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port: {self.port} is no TCP port; give 1 to 65535")

    def servers(self) -> list[str]:
        """The `server` lines of an nginx upstream. A single one is never set aside: there is no other."""
        if len(self.addresses) == 1:
            return [f"server {self.addresses[0]}:{self.port} max_fails=0;"]
        return [f"server {address}:{self.port} max_fails=1 fail_timeout={RETRY_AFTER}s;" for address in self.addresses]


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Which name goes where.

    cluster: names below this domain, and itself, go to `ingress` (HTTPS) and `ingress_http` (port 80, for HTTP-01).
    sites: further names, `*.` allowed, that other backends serve; also the host's own web server on another port.
    otherwise: for names that are not listed, and clients that send none; None closes the connection.
    """

    cluster: str
    ingress: Backend
    ingress_http: Backend
    sites: Mapping[str, Backend]
    otherwise: Backend | None = None

    def __post_init__(self) -> None:
        for name in (self.cluster, *self.sites):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no server name; write lower-case labels joined by dots, with *. in front for all below"
                )
        inside = [name for name in self.sites if f".{name.removeprefix('*.')}".endswith(f".{self.cluster}")]
        if inside:
            raise ValueError(
                f"{', '.join(inside)}: lies below {self.cluster}, which goes to the cluster; "
                "make an Ingress for it there, or move it to another domain"
            )


def stream(routing: Routing) -> str:
    """nginx outside of `http {}`: port 443, routed by the name in the TLS greeting and otherwise untouched."""
    upstreams = {"homelab_cluster": routing.ingress}
    upstreams |= {f"homelab_site_{number}": backend for number, backend in enumerate(routing.sites.values())}
    names = {f".{routing.cluster}": "homelab_cluster"}
    names |= {name: f"homelab_site_{number}" for number, name in enumerate(routing.sites)}
    if routing.otherwise is not None:
        upstreams["homelab_otherwise"] = routing.otherwise
    default = "homelab_otherwise" if routing.otherwise is not None else f"unix:{REFUSING_SOCKET}"
    return "\n".join(
        [
            "# Made by Pulumi; changes by hand are lost at its next run.",
            "stream {",
            "    map $ssl_preread_server_name $homelab_backend {",
            "        hostnames;",
            f"        default {default};",
            *(f"        {name} {upstream};" for name, upstream in names.items()),
            "    }",
            *(line for name, backend in upstreams.items() for line in _upstream(name, backend, indent="    ")),
            "    server {",
            "        listen 443;",
            "        listen [::]:443;",
            "        ssl_preread on;",
            "        preread_timeout 5s;",
            "        proxy_pass $homelab_backend;",
            f"        proxy_connect_timeout {CONNECT_TIMEOUT}s;",
            "        proxy_next_upstream on;",
            "        proxy_timeout 1h;",
            "        proxy_socket_keepalive on;",
            "    }",
            *(
                []
                if routing.otherwise is not None
                else ["    server {", f"        listen unix:{REFUSING_SOCKET};", '        return "";', "    }"]
            ),
            "}",
            "",
        ]
    )


def http(routing: Routing) -> str:
    """nginx inside of `http {}`: port 80 of the cluster's names, where ACME's HTTP-01 asks; other names stay as they are."""
    return "\n".join(
        [
            "# Made by Pulumi; changes by hand are lost at its next run.",
            *_upstream("homelab_cluster_http", routing.ingress_http, indent=""),
            "server {",
            "    listen 80;",
            "    listen [::]:80;",
            f"    server_name .{routing.cluster};",
            "    location / {",
            "        proxy_pass http://homelab_cluster_http;",
            "        proxy_http_version 1.1;",
            "        proxy_set_header Host $host;",
            "        proxy_set_header X-Forwarded-For $remote_addr;",
            "        proxy_set_header X-Forwarded-Proto $scheme;",
            f"        proxy_connect_timeout {CONNECT_TIMEOUT}s;",
            "        proxy_next_upstream error timeout;",
            "    }",
            "}",
            "",
        ]
    )


def secondary(*, notified_by: Sequence[IPv4Network]) -> str:
    """Settings of PowerDNS on the edge, read after its own ones.

    notified_by: where NOTIFY comes from. Between the cluster's servers and the edge, addresses are translated (by the
    node and by the VPN's subnet router), so a NOTIFY never carries the primary's address: these networks are trusted
    to pass it on, and the zone is still fetched from its primary alone.
    """
    networks = ",".join(str(network) for network in notified_by)
    return "\n".join(
        [
            "# Made by Pulumi; changes by hand are lost at its next run.",
            "secondary=yes",
            f"allow-notify-from={networks}",
            f"trusted-notification-proxy={networks}",
            # Whoever missed a NOTIFY is at most this many seconds behind.
            "xfr-cycle-interval=60",
            "",
        ]
    )


def _upstream(name: str, backend: Backend, *, indent: str) -> list[str]:
    lines = [f"upstream {name} {{", f"    zone {name} 64k;", *(f"    {server}" for server in backend.servers()), "}"]
    return [indent + line for line in lines]
