"""Order, references and values of load balancer, ingress and certificates, on the recorded graph of stack lab."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph
from checks.program import recorded

RELEASE = "kubernetes:helm.sh/v3:Release"
POOL = "kubernetes:metallb.io/v1beta1:IPAddressPool"
POOLS = ("ingress-pool", "dns-pool", "services-pool")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


def values(graph: Graph, release: str) -> dict[str, Any]:
    found: dict[str, Any] = graph[f"{RELEASE} {release}"].inputs["values"]
    return found


@pytest.mark.parametrize("release", ["metallb", "nginx-ingress", "cert-manager"])
def test_pods_come_after_the_pod_network(graph: Graph, release: str) -> None:
    assert graph.depends(f"{RELEASE} {release}", f"{RELEASE} cilium", transitive=True)


TAILSCALE_MTU = 1280


def route_mtu(configured: int, devices: dict[str, int]) -> int:
    """The largest packet between pods of two nodes, as Cilium 1.20 computes it.

    `pkg/mtu/cell.go`, `manager.go` and `mtu.go`: a configured MTU counts as it is, else the smallest of the devices
    that it takes for the node's (`pkg/datapath/linux/devices_controller.go`: any with an address and a global route);
    VXLAN's headers take 50 bytes of it. https://github.com/cilium/cilium/tree/v1.20.0
    """
    return (configured or min(devices.values())) - 50


def test_tailscale_does_not_lower_the_mtu_of_pods(graph: Graph) -> None:
    configured = values(graph, "cilium").get("MTU", 0)
    assert route_mtu(configured, {"ens18": 1500, "tailscale0": TAILSCALE_MTU}) == 1450


def without_tailscale(settings: dict[str, Any]) -> None:
    del settings["edge"], settings["tailscale"]
    settings["talos"]["extensions"]["tailscale"] = False


def test_without_tailscale_pods_use_whatever_the_nodes_network_carries() -> None:
    configured = values(recorded(change=without_tailscale), "cilium").get("MTU", 0)
    assert route_mtu(configured, {"ens18": 9000}) == 8950


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_and_its_announcement_wait_for_the_release_that_brings_their_kinds(graph: Graph, pool: str) -> None:
    assert graph.depends(f"{POOL} {pool}", f"{RELEASE} metallb")
    assert graph.depends(f"{pool}-advertisement", f"{RELEASE} metallb")
    assert graph.depends(f"{pool}-advertisement", f"{POOL} {pool}")


def test_every_pool_is_announced_by_its_own_name_where_metallb_looks_for_it(graph: Graph) -> None:
    # An advertisement of a pool that does not exist is valid, and then nobody answers for the addresses.
    namespace = graph[f"{RELEASE} metallb"].inputs["namespace"]
    for pool in POOLS:
        made, announced = graph[f"{POOL} {pool}"].inputs, graph[f"{pool}-advertisement"].inputs
        assert announced["spec"]["ipAddressPools"] == [made["metadata"]["name"]]
        assert made["metadata"]["namespace"] == announced["metadata"]["namespace"] == namespace


def test_the_pools_are_those_of_the_settings(graph: Graph) -> None:
    assert {pool: graph[f"{POOL} {pool}"].inputs["spec"]["addresses"] for pool in POOLS} == {
        "ingress-pool": ["127.20.3.2-127.20.3.2"],
        "dns-pool": ["127.20.3.3-127.20.3.3"],
        "services-pool": ["127.20.3.4-127.20.3.20"],
    }


def test_only_the_pool_of_services_gives_addresses_unasked(graph: Graph) -> None:
    unasked = [pool for pool in POOLS if graph[f"{POOL} {pool}"].inputs["spec"]["autoAssign"]]
    assert unasked == ["services-pool"]


def test_ingress_has_the_ingress_address(graph: Graph) -> None:
    annotations = values(graph, "nginx-ingress")["controller"]["service"]["annotations"]
    assert annotations == {"metallb.io/address-pool": "ingress-pool", "metallb.io/loadBalancerIPs": "127.20.3.2"}
    assert graph.stack.outputs["ingressAddress"] == "127.20.3.2"


def test_ingress_waits_for_the_announcement_of_its_address(graph: Graph) -> None:
    assert graph.depends(f"{RELEASE} nginx-ingress", "ingress-pool-advertisement")


def test_certificates_do_not_wait_for_ingress(graph: Graph) -> None:
    authority = "kubernetes:cert-manager.io/v1:ClusterIssuer cluster-ca"
    assert not graph.depends(authority, f"{RELEASE} nginx-ingress", transitive=True)


def test_every_node_passes_on_what_the_tailnet_routes_to_the_ingress_address(graph: Graph) -> None:
    assert values(graph, "nginx-ingress")["controller"]["service"]["externalTrafficPolicy"] == "Cluster"


def without_route(settings: dict[str, Any]) -> None:
    del settings["edge"]  # Which needs the route.
    settings["tailscale"]["routes"] = ["127.20.3.1/32"]


def test_the_clients_address_is_kept_where_nothing_routes_to_ingress() -> None:
    changed = values(recorded(change=without_route), "nginx-ingress")
    assert changed["controller"]["service"]["externalTrafficPolicy"] == "Local"


def without_workers(settings: dict[str, Any]) -> None:
    nodes = settings["nodes"]
    settings["nodes"] = {name: node for name, node in nodes.items() if node["role"] == "controlplane"}


def one_node(settings: dict[str, Any]) -> None:
    settings["nodes"] = {"controlplane-0": settings["nodes"]["controlplane-0"]}


def test_workers_announce_addresses_where_there_are_any(graph: Graph) -> None:
    assert values(graph, "metallb")["speaker"]["ignoreExcludeLB"] is False


def test_control_planes_announce_addresses_where_there_is_no_worker() -> None:
    assert values(recorded(change=without_workers), "metallb")["speaker"]["ignoreExcludeLB"] is True


def test_a_cluster_of_one_node_has_one_replica_of_everything() -> None:
    small = recorded(change=one_node)
    manager = values(small, "cert-manager")
    assert values(small, "nginx-ingress")["controller"]["replicaCount"] == 1
    assert [tree["replicaCount"] for tree in (manager, manager["webhook"], manager["cainjector"])] == [1, 1, 1]
