"""What the components of network and ingress refuse, and what each makes when it stands alone."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from checks.graph import Graph, record
from components.kit.address_range import AddressRange
from components.kit.chart import ChartSource
from components.kit.references import SecretReference, ServiceAddress
from components.kit.scheduling import one_per_node, replicas
from components.network.address_pool import AddressPool, AddressPoolArgs
from components.network.cilium import CiliumArgs
from components.network.core_dns import CoreDns, CoreDnsArgs
from components.network.metallb import MetalLb, MetalLbArgs
from components.network.nginx_ingress import SERVICE, NginxIngress, NginxIngressArgs

RELEASE = "kubernetes:helm.sh/v3:Release"
POOL = "kubernetes:metallb.io/v1beta1:IPAddressPool services-pool"
NAMESPACE = "kubernetes:core/v1:Namespace"
ENFORCE = "pod-security.kubernetes.io/enforce"


def alone(make: Callable[[pulumi.ResourceOptions], Any]) -> Graph:
    """The graph of components with a provider of their own."""

    def program() -> None:
        make(pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", kubeconfig="{}")]))

    return record(program)


def metallb(opts: pulumi.ResourceOptions, *, from_control_planes: bool = False) -> MetalLb:
    args = MetalLbArgs(charts=ChartSource(), announce_from_control_planes=from_control_planes)
    return MetalLb("metallb", args, opts)


def pool(opts: pulumi.ResourceOptions, first: str = "10.0.3.4", last: str = "10.0.3.6", **changes: Any) -> AddressPool:
    known: dict[str, Any] = {
        "metallb": metallb(opts),
        "addresses": AddressRange(IPv4Address(first), IPv4Address(last)),
        "auto_assign": False,
        "setting": "homelab:network.pools.services",
    }
    return AddressPool("services-pool", AddressPoolArgs(**known | changes), opts)


def claimed(claim: Callable[[AddressPool], ServiceAddress], first: str = "10.0.3.4", last: str = "10.0.3.6") -> Any:
    """What `claim` gets from a pool."""
    found = []
    alone(lambda opts: found.append(claim(pool(opts, first, last))))
    return found[0]


def test_a_name_of_another_domain_has_no_place_among_the_inside_ones() -> None:
    inside = {IPv4Address("10.0.3.2"): ["git.example.net"]}
    with pytest.raises(ValueError, match=r"inside: 'git\.example\.net' is not in example\.org"):
        CoreDnsArgs(
            charts=ChartSource(), services=IPv4Network("10.96.0.0/12"), nodes=5, domain="example.org", inside=inside
        )


@pytest.mark.parametrize(("nodes", "expected"), [(1, 1), (5, 2)])
def test_dns_is_where_kubelets_look_for_it_twice_if_two_nodes_hold_it(nodes: int, expected: int) -> None:
    args = CoreDnsArgs(
        charts=ChartSource(), services=IPv4Network("10.200.0.0/16"), nodes=nodes, domain="example.org", inside={}
    )
    values = alone(lambda opts: CoreDns("coredns", args, opts))[f"{RELEASE} coredns"].inputs["values"]
    assert (values["service"]["clusterIP"], values["replicaCount"]) == ("10.200.0.10", expected)
    assert len(values["servers"]) == 1


@pytest.mark.parametrize("mtu", [1280, 1230])
def test_an_mtu_that_tailscale_would_have_set_is_refused(mtu: int) -> None:
    with pytest.raises(ValueError, match=f"mtu: {mtu} is no more than the 1280 of a tailnet's device; give"):
        CiliumArgs(charts=ChartSource(), api_port=7445, operator_replicas=2, mtu=mtu)


def test_speakers_get_a_privileged_namespace() -> None:
    graph = alone(metallb)
    assert graph[f"{NAMESPACE} metallb-namespace"].inputs["metadata"]["labels"][ENFORCE] == "privileged"


def test_a_pool_is_not_refused_while_the_webhook_of_metallb_starts() -> None:
    values = alone(metallb)[f"{RELEASE} metallb"].inputs["values"]
    assert values["crds"]["validationFailurePolicy"] == "Ignore"


def test_nothing_of_bgp_runs() -> None:
    values = alone(metallb)[f"{RELEASE} metallb"].inputs["values"]
    assert (values["frrk8s"]["enabled"], values["speaker"]["frr"]["enabled"]) == (False, False)


@pytest.mark.parametrize("announce", [False, True])
def test_control_planes_announce_addresses_only_where_they_must(announce: bool) -> None:
    graph = alone(lambda opts: metallb(opts, from_control_planes=announce))
    assert graph[f"{RELEASE} metallb"].inputs["values"]["speaker"]["ignoreExcludeLB"] is announce


def test_a_pool_of_one_address_is_written_as_a_range() -> None:
    made = alone(lambda opts: pool(opts, "10.0.3.2", "10.0.3.2"))[POOL]
    assert made.inputs["spec"] == {"addresses": ["10.0.3.2-10.0.3.2"], "autoAssign": False}


def test_a_pool_comes_after_the_release_and_its_announcement_after_the_pool() -> None:
    graph = alone(pool)
    assert graph.chain([f"{RELEASE} metallb", POOL, "services-pool-advertisement"]) == []


def test_a_pool_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.3\.9-10\.0\.3\.6 ends before it starts"):
        alone(lambda opts: pool(opts, "10.0.3.9"))


def test_a_service_that_leaves_the_choice_names_its_pool_alone() -> None:
    address = claimed(lambda pool: pool.claim("git/ssh"))
    assert address.annotations == {"metallb.io/address-pool": "services-pool"}


def test_a_service_can_ask_for_one_address_of_its_pool() -> None:
    address = claimed(lambda pool: pool.claim("git/ssh", IPv4Address("10.0.3.5")))
    assert address.annotations == {"metallb.io/address-pool": "services-pool", "metallb.io/loadBalancerIPs": "10.0.3.5"}


def test_the_service_of_a_pool_of_one_address_asks_for_it() -> None:
    address = claimed(lambda pool: pool.claim("dns/powerdns"), "10.0.3.3", "10.0.3.3")
    assert address.annotations["metallb.io/loadBalancerIPs"] == "10.0.3.3"


def test_an_address_outside_the_pool_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"git/ssh: 10\.0\.3\.7 is outside services-pool 10\.0\.3\.4-10\.0\.3\.6; take one of its addresses, or "
        r"change homelab:network\.pools\.services",
    ):
        claimed(lambda pool: pool.claim("git/ssh", IPv4Address("10.0.3.7")))


def test_an_address_that_another_service_has_is_refused() -> None:
    def twice(pool: AddressPool) -> ServiceAddress:
        pool.claim("git/ssh", IPv4Address("10.0.3.5"))
        return pool.claim("mail/smtp", IPv4Address("10.0.3.5"))

    with pytest.raises(ValueError, match=r"mail/smtp: 10\.0\.3\.5 of services-pool .* is already git/ssh's"):
        claimed(twice)


def test_a_second_service_of_a_pool_of_one_address_is_refused() -> None:
    def twice(pool: AddressPool) -> ServiceAddress:
        pool.claim("dns/powerdns")
        return pool.claim("dns/other")

    with pytest.raises(ValueError, match=r"dns/other: 10\.0\.3\.3 of .* is already dns/powerdns's"):
        claimed(twice, "10.0.3.3", "10.0.3.3")


def test_a_claim_on_an_exhausted_pool_is_refused_with_those_who_have_it() -> None:
    def thrice(pool: AddressPool) -> ServiceAddress:
        pool.claim("git/ssh")
        pool.claim("mail/smtp", IPv4Address("10.0.3.4"))
        return pool.claim("media/syncthing")

    with pytest.raises(ValueError, match=r"media/syncthing: .* is exhausted by git/ssh, mail/smtp; enlarge homelab:"):
        claimed(thrice, "10.0.3.4", "10.0.3.5")


def test_a_service_that_asks_again_has_the_same_address() -> None:
    def again(pool: AddressPool) -> ServiceAddress:
        pool.claim("dns/powerdns")
        return pool.claim("dns/powerdns")

    assert claimed(again, "10.0.3.3", "10.0.3.3").address == IPv4Address("10.0.3.3")


def nginx(*, address: str | None = "10.0.3.5", **changes: Any) -> Graph:
    def make(opts: pulumi.ResourceOptions) -> None:
        wanted = IPv4Address(address) if address else None
        claim = pool(opts).claim(SERVICE, wanted)
        known: dict[str, Any] = {
            "charts": ChartSource(),
            "schedulable": 2,
            "address": claim,
            "traffic": "Local",
            "wildcard": SecretReference(namespace="certs", name="wildcard", key="tls.crt", ready=claim.ready),
        }
        NginxIngress("nginx-ingress", NginxIngressArgs(**known | changes), opts)

    return alone(make)


def nginx_values(**changes: Any) -> Any:
    return nginx(**changes)[f"{RELEASE} nginx-ingress"].inputs["values"]["controller"]


def test_ingress_asks_for_its_address_after_it_is_announced() -> None:
    graph = nginx()
    service = graph[f"{RELEASE} nginx-ingress"].inputs["values"]["controller"]["service"]
    assert service["annotations"]["metallb.io/loadBalancerIPs"] == "10.0.3.5"
    assert graph.depends(f"{RELEASE} nginx-ingress", "services-pool-advertisement")


def test_ingress_serves_the_wildcard_from_whatever_namespace_it_is_in() -> None:
    assert nginx_values()["wildcardTLS"] == {"secret": "certs/wildcard"}


def test_ingress_at_an_address_that_dns_cannot_know_is_refused() -> None:
    with pytest.raises(ValueError, match="MetalLB would choose one of services-pool, but DNS must know it before"):
        nginx(address=None)


def test_the_class_of_ingress_is_the_default_one() -> None:
    assert nginx_values()["ingressClass"] == {"name": "nginx", "create": True, "setAsDefaultIngress": True}


def test_definitions_that_the_controller_does_not_use_are_not_installed() -> None:
    graph = nginx()
    assert graph[f"{RELEASE} nginx-ingress"].inputs["skipCrds"] is True
    assert nginx_values()["enableCustomResources"] is False


def test_ingress_pods_get_by_with_the_strictest_pod_security() -> None:
    labels = nginx()[f"{NAMESPACE} nginx-ingress-namespace"].inputs["metadata"]["labels"]
    assert labels[ENFORCE] == "restricted"


@pytest.mark.parametrize("traffic", ["Cluster", "Local"])
def test_the_service_of_ingress_takes_connections_as_told(traffic: str) -> None:
    assert nginx_values(traffic=traffic)["service"]["externalTrafficPolicy"] == traffic


@pytest.mark.parametrize(("nodes", "expected"), [(1, 1), (2, 2), (7, 2)])
def test_there_is_a_second_replica_where_a_second_node_can_hold_it(nodes: int, expected: int) -> None:
    assert replicas(nodes) == expected
    assert nginx_values(schedulable=nodes)["replicaCount"] == expected


def test_a_cluster_that_takes_no_pods_is_refused() -> None:
    with pytest.raises(ValueError, match="0 nodes take ordinary pods"):
        replicas(0)


def test_pods_are_spread_over_nodes_within_each_revision() -> None:
    [constraint] = one_per_node({"app": "a"})
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["whenUnsatisfiable"] == "DoNotSchedule"
    assert constraint["matchLabelKeys"] == ["pod-template-hash"]


def test_a_third_cilium_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="operator_replicas: 3 is neither 1 nor 2"):
        CiliumArgs(charts=ChartSource(), api_port=7445, operator_replicas=3)
