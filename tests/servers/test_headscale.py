"""Routes and entries of a cluster on a real Headscale server, handled by the programs that the components send."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from components.edge.headscale_nodes import HeadscaleNodes, HeadscaleNodesArgs, Tailnet
from components.edge.headscale_routes import HeadscaleRoutes, HeadscaleRoutesArgs
from tests.servers import edge
from tests.servers.headscale import Headscale, headscale

TAG, FOREIGN = "tag:cluster-router", "tag:somebody-else"
ROUTE = "10.0.3.0/27"
NODES = ("controlplane-0", "controlplane-1", "worker-0")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Headscale]:
    with headscale(tmp_path, tags=(TAG, FOREIGN)) as server:
        yield server


def tailnet(server: Headscale) -> Tailnet:
    return Tailnet(host=edge.HOST, nodes=NODES, tags=[TAG], command=server.command)


def routes(server: Headscale, **changes: Any) -> str:
    """What the component of the routes sends."""
    known: dict[str, Any] = {
        "tailnet": tailnet(server),
        "routers": NODES[:2],
        "routes": [IPv4Network(ROUTE)],
        "wait": 1,
    }
    args = HeadscaleRoutesArgs(**known | changes)
    return edge.sent(lambda opts: HeadscaleRoutes("routes", args, opts), "routes-approval")


def entry(server: Headscale, node: str) -> str:
    """What the component of the entries sends for a node."""
    args = HeadscaleNodesArgs(tailnet=tailnet(server))
    return edge.sent(lambda opts: HeadscaleNodes("nodes", args, opts), f"nodes-{node}")


def test_the_routes_of_every_router_are_approved(server: Headscale) -> None:
    first, second, worker = (server.join(name, tags=[TAG]) for name in NODES)
    printed = edge.succeed(routes(server), "approve")
    assert server.approved() == {first: [ROUTE], second: [ROUTE], worker: []}
    assert "controlplane-0 (not online) routes 10.0.3.0/27" in printed


def test_routes_that_are_approved_already_stay(server: Headscale) -> None:
    first, _ = (server.join(name, tags=[TAG]) for name in NODES[:2])
    server.approve(first, "192.168.7.0/24")
    edge.succeed(routes(server), "approve")
    assert server.approved()[first] == [ROUTE, "192.168.7.0/24"]


def test_a_second_approval_changes_nothing(server: Headscale) -> None:
    for name in NODES[:2]:
        server.join(name, tags=[TAG])
    assert edge.succeed(routes(server), "approve") == edge.succeed(routes(server), "approve")


def test_a_machine_of_a_nodes_name_without_the_tag_gets_no_route(server: Headscale) -> None:
    for name in NODES[:2]:
        server.join(name, tags=[TAG])
    guest = server.join("controlplane-0")
    edge.succeed(routes(server), "approve")
    assert server.approved()[guest] == []


def test_a_router_that_never_joined_is_named(server: Headscale) -> None:
    server.join("controlplane-0", tags=[TAG])
    server.join("controlplane-1", tags=[FOREIGN])
    said = edge.refusal(routes(server), "approve")
    assert "controlplane-1: not in the tailnet with tag:cluster-router after 1 s" in said
    assert "talosctl logs ext-tailscale" in said


def test_before_the_machine_nothing_is_done(server: Headscale) -> None:
    number = server.join("controlplane-0", tags=[TAG])
    edge.succeed(entry(server, "controlplane-0"), "expect")
    assert list(server.approved()) == [number]


def test_after_the_machine_its_node_alone_is_removed(server: Headscale) -> None:
    server.join("worker-0", tags=[TAG])
    others = [
        server.join("controlplane-0", tags=[TAG]),
        server.join("worker-0", tags=[FOREIGN]),
        server.join("worker-0"),
        server.join("laptop"),
    ]
    edge.succeed(entry(server, "worker-0"), "remove")
    assert sorted(server.approved()) == sorted(others)


def test_a_second_removal_finds_nothing_to_do(server: Headscale) -> None:
    server.join("controlplane-0", tags=[TAG])
    edge.succeed(entry(server, "controlplane-0"), "remove")
    assert edge.succeed(entry(server, "controlplane-0"), "remove") == ""


def test_an_old_entry_of_a_rebuilt_node_is_removed_too(server: Headscale) -> None:
    server.join("controlplane-0", tags=[TAG])
    server.join("controlplane-0", tags=[TAG])
    edge.succeed(entry(server, "controlplane-0"), "remove")
    assert server.approved() == {}


def test_a_server_that_does_not_answer_is_reported(server: Headscale, tmp_path: Path) -> None:
    text = routes(server).replace(str(tmp_path / "config.yaml"), str(tmp_path / "none.yaml"))
    assert "nodes list --output json` failed" in edge.refusal(text, "approve")


def test_the_key_that_the_runbook_makes_carries_the_tag(server: Headscale) -> None:
    made = server("preauthkeys", "create", "--tags", TAG, "--reusable", "--expiration", "1h")
    assert (made["reusable"], made["acl_tags"]) == (True, [TAG])
