"""Host names of applications that have no sign-on of their own: they lead to Authentik.

Owns one Ingress for each. It stands beside Authentik because an Ingress names a Service of its own namespace. Does not
own who may pass (`proxied.py`) nor the applications. Must exist before: Authentik, the ingress controller, whose
certificate for all names one label below the domain serves these too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.identity.authentik import SERVER, Authentik
from components.identity.authentik_secrets import NAMESPACE
from components.identity.proxied import Proxied
from components.kit import ingress
from components.kit.kubernetes_object import Ingress
from components.network.nginx_ingress import NginxIngress

_PORT: Final = 80
"""Of the Service of Authentik's servers."""


@dataclass(frozen=True, kw_only=True)
class ProxiedEntryArgs:
    """Arguments of `ProxiedEntry`.

    rows: the applications. domain: below which their host names are.
    """

    authentik: Authentik
    ingress: NginxIngress
    rows: Sequence[Proxied]
    domain: str


class ProxiedEntry(pulumi.ComponentResource):
    """One Ingress for each application, all to Authentik's servers."""

    def __init__(self, name: str, args: ProxiedEntryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:identity:ProxiedEntry", name, None, opts)
        for row in args.rows:
            self._ingress(f"{name}-{row.slug}", row, args)
        self.register_outputs({"hosts": [f"{row.host}.{args.domain}" for row in args.rows]})

    def _ingress(self, name: str, row: Proxied, args: ProxiedEntryArgs) -> Ingress:
        host = f"{row.host}.{args.domain}"
        return Ingress(
            name,
            metadata=ObjectMetaArgs(
                name=row.slug,
                namespace=NAMESPACE,
                annotations={
                    # What passes is the application's: WebSockets, streams, and requests of any size.
                    "nginx.org/websocket-services": SERVER,
                    "nginx.org/client-max-body-size": "0",
                    "nginx.org/proxy-buffering": "False",
                    "nginx.org/proxy-read-timeout": "1h",
                    "nginx.org/proxy-send-timeout": "1h",
                    **ingress.UNAWAITED,
                },
            ),
            spec=ingress.one_host(host, service=SERVER, port=_PORT, class_name=args.ingress.class_name),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.authentik.ready, args.ingress.ready],
                custom_timeouts=ingress.timeouts(),
            ),
        )
