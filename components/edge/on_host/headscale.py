"""Approves the routes of a cluster's nodes on a Headscale server, and removes those nodes from it.

A node is meant when its host name is in the list and it has one of the cluster's tags: tags come with the
pre-auth key, so that a guest's machine of the same name is not. Speaks to the server through its own command, in
the JSON of Headscale 0.26 to 0.29 and of what follows (camel case, ids as text).
"""

from __future__ import annotations

import json
from typing import Any

from .common import HostError, run, until


def approve(wanted: dict[str, Any]) -> None:
    """Approve the cluster's routes on each of these nodes, and leave what else is approved there."""
    routers: list[str] = wanted["nodes"]

    def online() -> bool:
        return {node["name"] for node in nodes(wanted) if node.get("online")} >= set(routers)

    until(online, wanted["wait"])
    known = nodes(wanted)
    missing = sorted(set(routers) - {node["name"] for node in known})
    if missing:
        raise HostError(
            f"{', '.join(missing)}: not in the tailnet with {' or '.join(wanted['tags'])} after {wanted['wait']} s. "
            "Look at the node (`talosctl logs ext-tailscale`), and at its key: it must be valid and carry the tag"
        )
    for node in known:
        approved = sorted({*field(node, "approved_routes"), *wanted["routes"]})
        if approved != sorted(field(node, "approved_routes")):
            call(wanted, "nodes", "approve-routes", "--identifier", str(node["id"]), "--routes", ",".join(approved))
        state = "" if node.get("online") else " (not online)"
        print(f"Headscale: {node['name']}{state} routes {', '.join(approved)}")


def remove(wanted: dict[str, Any]) -> None:
    """Remove these nodes."""
    for node in nodes(wanted):
        call(wanted, "nodes", "delete", "--identifier", str(node["id"]), "--force")
        print(f"Headscale: removed {node['name']}")


def expect(wanted: dict[str, Any]) -> None:
    """For a resource that acts only when it is deleted."""
    print(f"Headscale: {', '.join(wanted['nodes'])} goes with its machine")


def nodes(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """What Headscale knows of these nodes."""
    listed = json.loads(call(wanted, "nodes", "list")) or []
    return [
        node
        for node in listed
        if node["name"] in wanted["nodes"]
        and {*field(node, "tags"), *field(node, "forced_tags"), *field(node, "valid_tags")} & set(wanted["tags"])
    ]


def field(node: dict[str, Any], name: str) -> list[str]:
    """A list of a node, in either spelling; empty lists are left out of the JSON."""
    first, *rest = name.split("_")
    camel = first + "".join(word.capitalize() for word in rest)
    return node.get(name) or node.get(camel) or []


def call(wanted: dict[str, Any], *arguments: str) -> str:
    """What a command of Headscale answers."""
    return run([*wanted["headscale"], *arguments, "--output", "json"])
