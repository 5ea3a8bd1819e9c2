"""A real Headscale server on loopback, with nodes as its own debugging command makes them."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lab import programs
from tests.servers.processes import free_ports, run, server

USER = "home"


class Headscale:
    """The server's command, and what a test asks it."""

    def __init__(self, program: Path, here: Path) -> None:
        self.command = (str(program), "--config", str(here / "config.yaml"))

    def __call__(self, *arguments: str) -> Any:
        """What a command answers, in JSON."""
        return json.loads(run([*self.command, *arguments, "--output", "json"]))

    def join(self, name: str, *, tags: Sequence[str] = ()) -> int:
        """A node of that host name; gives its id."""
        key = f"hskey-authreq-{secrets.token_urlsafe(18)}"
        self("debug", "create-node", "--name", name, "--user", USER, "--key", key)
        number = int(self("auth", "register", "--auth-id", key, "--user", USER)["id"])
        if tags:
            self("nodes", "tag", "--identifier", str(number), "--tags", ",".join(tags))
        return number

    def approve(self, number: int, *routes: str) -> None:
        """What a person approves by hand."""
        self("nodes", "approve-routes", "--identifier", str(number), "--routes", ",".join(routes))

    def approved(self) -> dict[int, list[str]]:
        """The approved routes of each node."""
        return {int(node["id"]): node.get("approved_routes", []) for node in self("nodes", "list") or []}


@contextlib.contextmanager
def headscale(here: Path, *, tags: Sequence[str]) -> Iterator[Headscale]:
    """The server, until the end of the block; its policy knows these tags."""
    program = programs.ensure(("headscale",))["headscale"].path
    http, grpc, stun = free_ports(3)
    owners = {tag: [f"{USER}@"] for tag in tags}
    (here / "policy.json").write_text(json.dumps({"tagOwners": owners}))
    settings = {
        "server_url": f"http://127.0.0.1:{http}",
        "listen_addr": f"127.0.0.1:{http}",
        "metrics_listen_addr": "",
        "grpc_listen_addr": f"127.0.0.1:{grpc}",
        "unix_socket": str(here / "socket"),
        "noise": {"private_key_path": str(here / "noise.key")},
        "prefixes": {"v4": "100.64.0.0/10"},
        "derp": {
            "server": {
                "enabled": True,
                "region_id": 999,
                "region_code": "test",
                "region_name": "test",
                "stun_listen_addr": f"127.0.0.1:{stun}",
                "private_key_path": str(here / "derp.key"),
                "automatically_add_embedded_derp_region": True,
            },
            "urls": [],
            "auto_update_enabled": False,
        },
        "disable_check_updates": True,
        "database": {"type": "sqlite", "sqlite": {"path": str(here / "database.sqlite")}},
        "dns": {"magic_dns": False, "override_local_dns": False, "base_domain": "tail.example.org"},
        "policy": {"mode": "file", "path": str(here / "policy.json")},
        "logtail": {"enabled": False},
    }
    # JSON is YAML.
    (here / "config.yaml").write_text(json.dumps(settings))
    found = Headscale(program, here)
    command = [str(program), "serve", "--config", str(here / "config.yaml")]
    with server("headscale", command, directory=here, ready=(here / "socket").exists):
        found("users", "create", USER)
        yield found
