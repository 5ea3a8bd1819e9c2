"""Which server name goes where on the edge host, and the nginx configuration that says so.

Owns names, backends and the text of two files. TLS is passed through untouched, so that keys and certificates stay
where the service is. Makes no resource and opens no connection: `EdgeRouter` installs the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from components.kit.ports import HTTP, HTTPS

HEADER = "# Made by Pulumi; changes by hand are lost at its next run."

CONNECT_TIMEOUT = 2
"""Seconds after which an unresponsive backend is given up for the next."""

RETRY_AFTER = 10
"""Seconds for which a backend that failed once gets no connection."""

_NAME = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


@dataclass(frozen=True)
class Backend:
    """Where connections go: addresses used in rotation, and a port."""

    addresses: Sequence[IPv4Address]
    port: int

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("addresses: none, and a backend without an address answers nobody; name one")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port: {self.port} is not a TCP port; give 1 to 65535")

    def upstream(self, name: str) -> list[str]:
        """The nginx upstream of that name. An address that fails once is set aside, unless there is no other."""
        health = "max_fails=0" if len(self.addresses) == 1 else f"max_fails=1 fail_timeout={RETRY_AFTER}s"
        servers = [f"    server {address}:{self.port} {health};" for address in self.addresses]
        return [f"upstream {name} {{", f"    zone {name} 64k;", *servers, "}"]


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Which name goes where.

    cluster: this domain and all names below it go to `ingress` (HTTPS) and `ingress_http` (for ACME's HTTP-01).
    sites: further names, `*.` allowed, with the backend of each; it may be the edge host itself on another port.
    otherwise: for other names and clients that send none; without it their connection is closed.
    https_port, http_port: where clients connect. ipv6: listen there too.
    """

    cluster: str
    ingress: Backend
    ingress_http: Backend
    sites: Mapping[str, Backend]
    otherwise: Backend | None = None
    https_port: int = HTTPS
    http_port: int = HTTP
    ipv6: bool = True

    def __post_init__(self) -> None:
        for name in (self.cluster, *self.sites):
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not a server name; write lower-case labels joined by dots, "
                    "and *. in front for all below"
                )
        for name in self.sites:
            if f".{name.removeprefix('*.')}".endswith(f".{self.cluster}"):
                raise ValueError(
                    f"{name} lies below {self.cluster}, which goes to the cluster; make an Ingress for it there, or "
                    "give it a name elsewhere"
                )

    def stream(self) -> list[str]:
        """Outside of `http {}`: HTTPS, routed by the server name in the TLS ClientHello and otherwise untouched."""
        upstreams = {"homelab_cluster": self.ingress}
        routes = {f".{self.cluster}": "homelab_cluster"}
        for number, (name, backend) in enumerate(self.sites.items()):
            upstreams[f"homelab_site_{number}"] = backend
            routes[name] = f"homelab_site_{number}"
        # With no upstream to go to, nginx closes the connection.
        default = '""'
        if self.otherwise is not None:
            upstreams["homelab_otherwise"] = self.otherwise
            default = "homelab_otherwise"
        inner = [
            "map $ssl_preread_server_name $homelab_backend {",
            "    hostnames;",
            f"    default {default};",
            *(f"    {name} {upstream};" for name, upstream in routes.items()),
            "}",
            *(line for name, backend in upstreams.items() for line in backend.upstream(name)),
            "server {",
            *self._listen(self.https_port),
            "    ssl_preread on;",
            "    preread_timeout 5s;",
            "    proxy_pass $homelab_backend;",
            f"    proxy_connect_timeout {CONNECT_TIMEOUT}s;",
            "    proxy_next_upstream on;",
            "    proxy_timeout 1h;",
            "    proxy_socket_keepalive on;",
            "}",
        ]
        return [HEADER, "stream {", *(f"    {line}" for line in inner), "}"]

    def http(self) -> list[str]:
        """Inside `http {}`: port 80 of the cluster's names. Other names on that port are not touched."""
        return [
            HEADER,
            *self.ingress_http.upstream("homelab_cluster_http"),
            "server {",
            *self._listen(self.http_port),
            f"    server_name .{self.cluster};",
            "    location / {",
            "        proxy_pass http://homelab_cluster_http;",
            "        proxy_http_version 1.1;",
            '        proxy_set_header Connection "";',
            "        proxy_set_header Host $host;",
            "        proxy_set_header X-Forwarded-For $remote_addr;",
            "        proxy_set_header X-Forwarded-Proto $scheme;",
            f"        proxy_connect_timeout {CONNECT_TIMEOUT}s;",
            "        proxy_next_upstream error timeout;",
            "    }",
            "}",
        ]

    def _listen(self, port: int) -> list[str]:
        return [f"    listen {port};", *([f"    listen [::]:{port};"] if self.ipv6 else [])]
