"""What a node is told about the cluster's networks, and that whoever else must know is told the same.

The machine configuration is read as the program renders it, not as its parts are written; each assertion compares two
owners of one fact, or a fact with what Talos or Kubernetes makes of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import yaml

from checks.graph import Graph, reveal
from checks.model.machines import Talos
from checks.model.platform import Platform
from checks.program import recorded
from checks.rules.all import RULES
from tests.graph.test_conventions import graph_of

RELEASE = "kubernetes:helm.sh/v3:Release"
VM = "proxmoxve:index/vmLegacy:VmLegacy"
CONTROL_PLANES = ("controlplane-0", "controlplane-1", "controlplane-2")
NODES = (*CONTROL_PLANES, "worker-0", "worker-1")

NOT_GRANTED = {"SYS_MODULE", "SYS_BOOT"}
"""Capabilities that no pod gets on Talos, a privileged one neither; a container that asks for one does not start:
https://docs.siderolabs.com/talos/v1.13/learn-more/process-capabilities"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("lab", known=True)


def documents(graph: Graph, node: str, *, cluster: str = "lab") -> list[dict[str, Any]]:
    patches = json.loads(str(reveal(graph[f"{cluster}-{node}"].inputs["machineConfigurationInput"])))
    return [yaml.safe_load(patch) for patch in patches]


def configuration(graph: Graph, node: str) -> dict[str, Any]:
    """The node's `machine` and `cluster`, merged as Talos merges patches."""
    merged: dict[str, Any] = {}
    for document in documents(graph, node):
        if "kind" not in document:
            _merge(merged, document)
    return merged


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def values(graph: Graph, release: str) -> Any:
    return reveal(graph[f"{RELEASE} {release}"].inputs["values"])


def address(graph: Graph, node: str) -> str:
    [config] = graph[f"{VM} {node}"].inputs["initialization"]["ipConfigs"]
    return str(config["ipv4"]["address"]).partition("/")[0]


@pytest.mark.parametrize("node", NODES)
def test_exactly_one_of_talos_and_cilium_makes_the_pod_network(graph: Graph, node: str) -> None:
    # Two would each give pods addresses; Cilium takes those that Kubernetes gives a node, out of Talos's pod network.
    assert configuration(graph, node)["cluster"]["network"]["cni"] == {"name": "none"}
    assert values(graph, "cilium")["ipam"] == {"mode": "kubernetes"}


@pytest.mark.parametrize("node", NODES)
def test_kube_proxy_is_off_exactly_where_cilium_takes_its_place(graph: Graph, node: str) -> None:
    off = configuration(graph, node)["cluster"]["proxy"]["disabled"]
    assert (off, values(graph, "cilium")["kubeProxyReplacement"]) == (True, True)


@pytest.mark.parametrize("node", NODES)
def test_cilium_asks_for_the_api_where_each_node_itself_serves_it(graph: Graph, node: str) -> None:
    # Not by a Service: it is Cilium that makes Services reachable. KubePrism listens on localhost of every node.
    own = configuration(graph, node)["machine"]["features"]["kubePrism"]
    cilium = values(graph, "cilium")
    assert own == {"enabled": True, "port": cilium["k8sServicePort"]}
    assert cilium["k8sServiceHost"] == "localhost"


def test_cilium_asks_for_no_capability_that_talos_takes_away(graph: Graph) -> None:
    wanted = values(graph, "cilium")["securityContext"]["capabilities"]
    assert [name for listed in wanted.values() for name in listed if name in NOT_GRANTED] == []


def test_cilium_may_make_interfaces_and_load_programs_into_the_kernel(graph: Graph) -> None:
    agent = set(values(graph, "cilium")["securityContext"]["capabilities"]["ciliumAgent"])
    # Of the list in https://docs.siderolabs.com/kubernetes-guides/cni/deploying-cilium, without which no agent starts.
    assert {"NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_RESOURCE", "IPC_LOCK"} <= agent


def test_cilium_uses_the_cgroups_that_talos_has_mounted(graph: Graph) -> None:
    # /sys is read-only, and an init container that mounts there fails.
    assert values(graph, "cilium")["cgroup"] == {"autoMount": {"enabled": False}, "hostRoot": "/sys/fs/cgroup"}


def test_metallb_alone_announces_addresses(graph: Graph) -> None:
    assert values(graph, "cilium")["l2announcements"] == {"enabled": False}


@pytest.mark.parametrize("node", NODES)
def test_the_networks_of_pods_and_services_are_each_others_complement(graph: Graph, node: str) -> None:
    network = configuration(graph, node)["cluster"]["network"]
    [pods], [services] = network["podSubnets"], network["serviceSubnets"]
    dns = IPv4Address(values(graph, "coredns")["service"]["clusterIP"])
    # Kubelets give pods the tenth address of the Services' network as their resolver.
    assert dns == IPv4Network(services)[10]
    assert not IPv4Network(pods).overlaps(IPv4Network(services))


@pytest.mark.parametrize("node", NODES)
def test_no_pod_or_service_has_the_address_of_a_machine(graph: Graph, node: str) -> None:
    network = configuration(graph, node)["cluster"]["network"]
    inner = [IPv4Network(text) for text in (*network["podSubnets"], *network["serviceSubnets"])]
    assert [one for one in inner if IPv4Address(address(graph, node)) in one] == []


@pytest.mark.parametrize("node", NODES)
def test_a_kubelet_registers_with_the_address_of_its_vm_and_no_other(graph: Graph, node: str) -> None:
    # Tailscale's address and the VIP are on the node too; either would move or vanish.
    [subnet] = configuration(graph, node)["machine"]["kubelet"]["nodeIP"]["validSubnets"]
    assert IPv4Address(address(graph, node)) in IPv4Network(subnet)
    assert IPv4Address("100.64.0.1") not in IPv4Network(subnet)


@pytest.mark.parametrize("node", CONTROL_PLANES)
def test_etcd_advertises_the_network_of_the_vms_alone(graph: Graph, node: str) -> None:
    [subnet] = configuration(graph, node)["cluster"]["etcd"]["advertisedSubnets"]
    assert IPv4Address(address(graph, node)) in IPv4Network(subnet)
    assert IPv4Address("100.64.0.1") not in IPv4Network(subnet)


@pytest.mark.parametrize("node", CONTROL_PLANES)
def test_the_api_has_a_certificate_for_each_address_at_which_it_is_asked(graph: Graph, node: str) -> None:
    names = configuration(graph, node)["cluster"]["apiServer"]["certSANs"]
    [vip] = [one["name"] for one in documents(graph, node) if one.get("kind") == "Layer2VIPConfig"]
    assert set(names) == {vip, *(address(graph, other) for other in CONTROL_PLANES)}
    assert f"https://{vip}:" in str(graph.stack.outputs["apiEndpoint"])


@pytest.mark.parametrize("node", NODES)
def test_no_installation_erases_a_disk(graph: Graph, node: str) -> None:
    # An upgrade is an installation too, and etcd and local volumes are on the same disk.
    assert configuration(graph, node)["machine"]["install"]["wipe"] is False


@pytest.mark.parametrize("node", NODES)
def test_ordinary_pods_run_beside_etcd_only_where_there_is_no_worker(graph: Graph, node: str) -> None:
    assert "allowSchedulingOnControlPlanes" not in configuration(graph, node)["cluster"]


def test_ordinary_pods_run_somewhere_in_a_cluster_without_workers() -> None:
    def alone(settings: dict[str, Any]) -> None:
        settings["nodes"] = {name: settings["nodes"][name] for name in CONTROL_PLANES}

    graph = recorded(change=alone)
    assert [configuration(graph, node)["cluster"]["allowSchedulingOnControlPlanes"] for node in CONTROL_PLANES] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("node", NODES)
def test_the_storage_driver_finds_the_vm_of_a_node(graph: Graph, node: str) -> None:
    machine = configuration(graph, node)["machine"]
    labels, vm = machine["nodeLabels"], graph[f"{VM} {node}"].inputs
    region = labels["topology.kubernetes.io/region"]
    # `ParseProviderID` of https://github.com/sergelogvinov/proxmox-csi-plugin: proxmox://<region>/<vm id>
    assert machine["kubelet"]["extraArgs"]["provider-id"] == f"proxmox://{region}/{vm['vmId']:.0f}"
    assert labels["topology.kubernetes.io/zone"] == vm["nodeName"]


@pytest.mark.parametrize("node", CONTROL_PLANES)
def test_the_vip_is_on_the_card_that_the_vm_has(graph: Graph, node: str) -> None:
    found = {one["kind"]: one for one in documents(graph, node) if "kind" in one}
    [card] = graph[f"{VM} {node}"].inputs["networkDevices"]
    alias = found["LinkAliasConfig"]
    assert found["Layer2VIPConfig"]["link"] == alias["name"]
    # Talos compares with an address in lower case: https://pkg.go.dev/net#HardwareAddr.String
    assert f'"{card["macAddress"].lower()}"' in alias["selector"]["match"]


def members(graph: Graph) -> dict[str, list[str]]:
    """The environment of Tailscale's service, by node."""
    found = {}
    for node in NODES:
        [service] = [one for one in documents(graph, node) if one.get("name") == "tailscale"]
        found[node] = list(service["environment"])
    return found


def test_a_node_that_has_joined_the_tailnet_needs_no_valid_key_at_its_next_boot(graph: Graph) -> None:
    assert [node for node, told in members(graph).items() if "TS_AUTH_ONCE=true" not in told] == []


def test_what_a_storage_driver_mounts_on_a_node_reaches_the_pods() -> None:
    def local(settings: dict[str, Any]) -> None:
        settings["storage"] = {"localPaths": ["/var/lib/openebs/local"]}

    graph = recorded(change=local)
    for node in NODES:
        [mount] = configuration(graph, node)["machine"]["kubelet"]["extraMounts"]
        # Only `rshared` passes on mounts that are made later, in both directions (mount_namespaces(7)).
        assert {"bind", "rshared", "rw"} == set(mount["options"])


ROTATION = "rotate-server-certificates"


@pytest.mark.parametrize("node", NODES)
def test_a_kubelet_asks_for_a_certificate_that_is_approved_for_it(graph: Graph, node: str) -> None:
    assert configuration(graph, node)["machine"]["kubelet"]["extraArgs"][ROTATION] == "true"
    approver = values(graph, "kubelet-certificates")
    assert re.search(approver["providerRegex"], node)
    assert f"{address(graph, node)}/32" in approver["providerIpPrefixes"]


@pytest.mark.parametrize("name", ["controlplane-00", "xcontrolplane-0", "controlplane-0.lab.home.arpa", "worker-2"])
def test_no_certificate_is_approved_for_another_name(graph: Graph, name: str) -> None:
    assert not re.search(values(graph, "kubelet-certificates")["providerRegex"], name)


def test_no_certificate_is_approved_for_the_address_of_the_api(graph: Graph) -> None:
    allowed = [IPv4Network(text) for text in values(graph, "kubelet-certificates")["providerIpPrefixes"]]
    assert len(allowed) == len(NODES)
    assert not any(IPv4Address("127.20.3.1") in network for network in allowed)


def test_the_approver_comes_before_kubelets_ask_where_a_stack_says_so() -> None:
    def wait(settings: dict[str, Any]) -> None:
        settings["talos"]["signedKubeletCertificates"] = False

    later = recorded(change=wait)
    assert f"{RELEASE} kubelet-certificates" in [f"{node.type} {node.name}" for node in later.of_type(RELEASE)]
    for node in NODES:
        assert ROTATION not in configuration(later, node)["machine"]["kubelet"]["extraArgs"]


FREE = {"extraArgs", "nodeAnnotations", "nodeLabels", "sysctls"}
"""Maps whose keys are not Talos's to know."""


def _misspelt(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field of maps within maps, and the whole with that field misspelt."""
    for key, inner in value.items():
        yield key, {f"{key}x": inner}
        if isinstance(inner, dict) and key not in FREE:
            yield from ((f"{key}.{name}", {key: whole}) for name, whole in _misspelt(inner))


def test_a_field_that_is_misspelt_is_found_wherever_a_node_has_one(graph: Graph) -> None:
    """A node refuses the whole of its configuration for it."""
    wrong = [one for node in ("controlplane-0", "worker-0") for one in _misspelt(configuration(graph, node))]
    platform = Platform("lab", graph, {})
    unseen = []
    for path, document in wrong:
        platform.talos = Talos(patches=[document])
        unseen += [path] if not list(RULES["talos-field"].findings(platform)) else []
    assert len(wrong) > 40
    assert sorted(set(unseen)) == []
