"""The entry point from the internet: nginx on the edge host, which forwards each connection by its server name.

Owns two configuration files on that host, and their validation, reload and removal (`on_host/nginx.py`). Does not own
nginx itself, the host's other sites, or any certificate: TLS ends at the backend.
Must exist before: the host with nginx and its stream module (`apt-get install nginx libnginx-mod-stream`), set up as
Debian's package does; nothing else on it that listens on the HTTPS port; a route from it to the backends.

The client's address is lost at the edge: backends see the edge's, or that of the router in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.edge.routing import Routing
from components.edge.ssh import SshHost


@dataclass(frozen=True, kw_only=True)
class NginxLayout:
    """Where a host's nginx keeps its files; the defaults are those of Debian's package.

    stream_file: in a directory that is included outside of `http {}`, after the stream module is loaded.
    http_file: in one that is included inside, and late, so that it never becomes the default server.
    command: the program, with options that it always needs. reload: starts it if it is not running.
    record: what the host remembers of this component.
    """

    main: str = "/etc/nginx/nginx.conf"
    stream_file: str = "/etc/nginx/modules-enabled/95-homelab-stream.conf"
    http_file: str = "/etc/nginx/sites-enabled/zz-homelab.conf"
    pid: str = "/run/nginx.pid"
    command: tuple[str, ...] = ("nginx",)
    reload: tuple[str, ...] = ("systemctl", "reload-or-restart", "nginx")
    record: str = "/var/lib/homelab/nginx.json"


@dataclass(frozen=True, kw_only=True)
class EdgeRouterArgs:
    """Arguments of `EdgeRouter`."""

    host: SshHost
    routing: Routing
    layout: NginxLayout = NginxLayout()


class EdgeRouter(pulumi.ComponentResource):
    """Routing by server name on the edge host."""

    ready: remote.Command
    """Up when nginx on the host has started workers with this routing."""

    def __init__(self, name: str, args: EdgeRouterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:edge:EdgeRouter", name, None, opts)
        routing, layout = args.routing, args.layout
        self.ready = args.host.program(
            f"{name}-nginx",
            "nginx",
            {
                "host": args.host.host,
                "owner": routing.cluster,
                "files": {layout.stream_file: routing.stream(), layout.http_file: routing.http()},
                "ports": [routing.https_port],
                "main": layout.main,
                "pid": layout.pid,
                "nginx": layout.command,
                "reload": layout.reload,
                "record": layout.record,
                "packages": "nginx libnginx-mod-stream",
            },
            install="install",
            remove="remove",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"installed": self.ready.id})
