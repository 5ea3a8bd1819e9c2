"""Order, references and secrecy of the edge, on the recorded graph of stack lab."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.graph import Graph, Secret, reveal
from checks.program import recorded

COMMAND = "command:remote:Command"
ROUTER, SECONDARY = f"{COMMAND} edge-router-nginx", f"{COMMAND} edge-secondary-powerdns"
TRANSFER_KEY = "kubernetes:batch/v1:Job transfer-key"
ROUTES = f"{COMMAND} headscale-routes-approval"
NODES = ("controlplane-0", "controlplane-1", "controlplane-2", "worker-0", "worker-1")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


def of_the_edge(graph: Graph) -> list[str]:
    """Every command on the public host."""
    return [node.name for node in graph.of_type(COMMAND) if node.name.startswith(("edge-", "headscale-"))]


def wanted(graph: Graph, command: str) -> dict[str, Any]:
    """What the program of a command is told."""
    text = str(reveal(graph[command].inputs["stdin"]))
    return dict(json.loads(text.split("r'''")[1].split("'''")[0]))


@pytest.mark.parametrize("name", NODES)
def test_a_nodes_entry_goes_after_its_machine(graph: Graph, name: str) -> None:
    assert graph.depends(f"command:local:Command vm-end-{name}", f"{COMMAND} headscale-{name}")


@pytest.mark.parametrize("name", NODES)
def test_with_a_machine_goes_its_own_place_in_the_tailnet_and_no_other(graph: Graph, name: str) -> None:
    assert wanted(graph, f"{COMMAND} headscale-{name}")["nodes"] == [name]


def test_routes_are_approved_once_the_nodes_are_up_and_before_the_edge_needs_them(graph: Graph) -> None:
    assert graph.depends(ROUTES, "lab-kubeconfig", transitive=True)
    assert graph.depends(ROUTER, ROUTES, transitive=True)
    assert graph.depends(SECONDARY, ROUTES, transitive=True)


def test_the_control_planes_alone_are_routers(graph: Graph) -> None:
    assert wanted(graph, ROUTES)["nodes"] == ["controlplane-0", "controlplane-1", "controlplane-2"]


def test_connections_go_to_the_address_of_the_ingress(graph: Graph) -> None:
    told = json.dumps(wanted(graph, ROUTER)["files"])
    assert "server 127.20.3.2:443 max_fails=0;" in told
    assert "server 127.20.3.2:80 max_fails=0;" in told


def test_routers_that_come_online_late_are_waited_for(graph: Graph) -> None:
    # A node tells Headscale of itself some time after its first boot.
    assert wanted(graph, ROUTES)["wait"] >= 120


def test_the_port_for_the_cluster_is_looked_at_before_it_is_taken(graph: Graph) -> None:
    assert wanted(graph, ROUTER)["ports"] == [443]


@pytest.mark.parametrize("command", [ROUTER, SECONDARY])
def test_the_host_is_reached_at_the_port_of_the_settings(graph: Graph, command: str) -> None:
    assert reveal(graph[command].inputs["connection"])["port"] == 2222


@pytest.mark.parametrize("command", [ROUTER, SECONDARY])
def test_people_are_sent_to_the_cluster_once_it_answers(graph: Graph, command: str) -> None:
    assert graph.depends(command, "kubernetes:helm.sh/v3:Release nginx-ingress", transitive=True)


def test_the_secondary_comes_after_the_primary_knows_its_key(graph: Graph) -> None:
    assert graph.depends(SECONDARY, TRANSFER_KEY, transitive=True)


def test_the_primary_gets_its_key_once_it_has_the_zone(graph: Graph) -> None:
    assert graph.depends(TRANSFER_KEY, "kubernetes:dns.cav.enablers.ob/v1alpha2:ClusterZone dns-zone")


def test_both_ends_of_a_transfer_have_the_same_key(graph: Graph) -> None:
    [secret] = [n for n in graph.of_type("kubernetes:core/v1:Secret") if n.name == "transfer-key"]
    given = reveal(secret.inputs["stringData"])["tsig-key"]
    assert wanted(graph, SECONDARY)["zone"]["tsig"]["key"] == given


def test_another_key_is_another_secret_and_so_another_job(graph: Graph) -> None:
    [secret] = [n for n in graph.of_type("kubernetes:core/v1:Secret") if n.name == "transfer-key"]
    assert secret.inputs["immutable"] is True
    assert "name" not in secret.inputs["metadata"]
    assert graph.depends(TRANSFER_KEY, secret.urn, via="spec")


def test_the_key_is_a_secret_and_on_no_command_line(graph: Graph) -> None:
    [secret] = [n for n in graph.of_type("kubernetes:core/v1:Secret") if n.name == "transfer-key"]
    assert isinstance(secret.inputs["stringData"], Secret)
    key = reveal(secret.inputs["stringData"])["tsig-key"]
    assert key not in json.dumps(reveal(graph[TRANSFER_KEY].inputs), default=str)


def test_transfers_that_nobody_signs_need_no_key() -> None:
    def unsigned(settings: dict[str, Any]) -> None:
        del settings["edge"]["secondary"]["tsig"]

    assert [n.name for n in recorded(change=unsigned).nodes.values() if "transfer-key" in n.name] == []


def test_the_zone_comes_from_the_address_of_the_name_server(graph: Graph) -> None:
    zone = wanted(graph, SECONDARY)["zone"]
    assert (zone["name"], zone["primaries"]) == ("lab.home.arpa.", ["127.20.3.3"])


def test_a_change_whose_notification_is_lost_is_fetched_as_soon_as_it_is_due(graph: Graph) -> None:
    """PowerDNS asks for what is due when it looks, however often that is:
    https://doc.powerdns.com/authoritative/settings.html#xfr-cycle-interval."""
    soa = graph["kubernetes:helm.sh/v3:Release powerdns"].inputs["values"]["soa"].split()
    refresh = int(soa[3])
    assert int(wanted(graph, SECONDARY)["settings"]["xfr-cycle-interval"]) * 2 <= refresh


def test_the_zone_is_fetched_once_it_is_served(graph: Graph) -> None:
    zone = "kubernetes:dns.cav.enablers.ob/v1alpha2:ClusterZone dns-zone"
    assert graph.depends(SECONDARY, zone, transitive=True)


def test_what_is_on_the_host_is_put_back_and_not_forgotten_with_the_machines(graph: Graph) -> None:
    commands = [graph[f"{COMMAND} {name}"] for name in of_the_edge(graph)]
    assert commands
    assert [node.name for node in commands if node.option("deletedWith")] == []
    assert {node.name for node in commands if "delete" not in node.inputs} == {"headscale-routes-approval"}


def test_no_command_line_holds_more_than_the_name_of_a_function(graph: Graph) -> None:
    inputs = [graph[f"{COMMAND} {name}"].inputs for name in of_the_edge(graph)]
    lines = {line for each in inputs for line in (each["create"], each.get("delete")) if line is not None}
    assert lines == {f"sudo -n python3 - {function}" for function in ("install", "remove", "approve", "expect")}


def test_a_key_for_transfers_is_a_secret_and_the_routing_is_not(graph: Graph) -> None:
    assert isinstance(graph[SECONDARY].inputs["stdin"], Secret)
    assert isinstance(graph[ROUTER].inputs["stdin"], str)


def test_the_key_of_the_account_is_a_secret(graph: Graph) -> None:
    connection = graph[ROUTER].inputs["connection"]
    assert isinstance(connection, Secret) or isinstance(connection["privateKey"], Secret)


def test_the_delegation_names_server_and_address(graph: Graph) -> None:
    assert graph.stack.outputs["delegation"] == [
        "lab.home.arpa. 3600 IN NS ns1.home.arpa.",
        "ns1.home.arpa. 3600 IN A 127.20.0.12",
    ]


def test_a_stack_without_an_edge_has_none_of_it() -> None:
    graph = recorded(change=lambda settings: settings.pop("edge"))
    assert of_the_edge(graph) == []
    assert graph.stack.outputs["delegation"] == ["lab.home.arpa. 3600 IN NS ns1.lab.home.arpa."]


def test_a_preview_of_production_warns_of_the_host_key_that_an_up_needs() -> None:
    assert any("homelab:edge.ssh.hostKey: missing" in entry for entry in recorded("prod").log)
