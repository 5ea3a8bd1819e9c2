"""The cluster's DNS on the recorded graph: who makes it, who waits for it, and which names it knows."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph, reveal
from checks.program import recorded
from stacks import sso

RELEASE = "kubernetes:helm.sh/v3:Release"
DNS = f"{RELEASE} coredns"


@pytest.fixture(scope="module", params=["lab", "prod"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return recorded(str(request.param))


def values(graph: Graph, release: str) -> Any:
    return graph[f"{RELEASE} {release}"].inputs["values"]


def test_talos_makes_no_dns_of_its_own(graph: Graph) -> None:
    applied = [node for node in graph.resources() if "machineConfigurationInput" in node.inputs]
    planes = [node for node in applied if "-controlplane-" in node.name]
    configured = [str(reveal(node.inputs["machineConfigurationInput"])) for node in planes]
    assert ["coreDNS:\\n    disabled: true" in text for text in configured] == [True, True, True]


def test_names_come_after_the_pod_network(graph: Graph) -> None:
    assert graph.depends(DNS, f"{RELEASE} cilium", transitive=True)


def test_every_release_but_the_pod_network_waits_until_names_resolve(graph: Graph) -> None:
    releases = [node for node in graph.resources() if node.type == RELEASE and node.name not in ("cilium", "coredns")]
    assert len(releases) > 10
    assert [node.name for node in releases if not graph.depends(node.urn, DNS, transitive=True)] == []


def test_the_inside_address_is_that_of_the_ingress(graph: Graph) -> None:
    annotations = values(graph, "nginx-ingress")["controller"]["service"]["annotations"]
    _, site = values(graph, "coredns")["servers"]
    [hosts] = [plugin for plugin in site["plugins"] if plugin["name"] == "hosts"]
    address, *names = hosts["configBlock"].splitlines()[0].split()
    domain = site["zones"][0]["zone"].removesuffix(".")
    assert address == annotations["metallb.io/loadBalancerIPs"]
    assert names == sso.hosts(domain)


def test_every_ingress_of_the_program_has_an_inside_address(graph: Graph) -> None:
    hosts = {
        rule["host"]
        for node in graph.resources()
        if node.type == "kubernetes:networking.k8s.io/v1:Ingress"
        for rule in node.inputs["spec"]["rules"]
    }
    _, site = values(graph, "coredns")["servers"]
    known = str(next(plugin for plugin in site["plugins"] if plugin["name"] == "hosts")["configBlock"]).split()
    assert hosts
    assert sorted(hosts - set(known)) == []
