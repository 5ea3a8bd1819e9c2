"""What a drain, a lost node or an update leaves running, on the recorded graph of stack prod.

A workload of two replicas is worth no more than one if both are on one node, if a drain takes both, or if the budget
keeps the node from ever being drained.
"""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph, reveal
from checks.model import records
from checks.model.platform import ROOT
from components.kit.scheduling import HOSTNAME
from tests.graph.test_conventions import graph_of

RELEASE = "kubernetes:helm.sh/v3:Release"

BUDGETS = {
    "coredns": "podDisruptionBudget",
    "nginx-ingress": "controller.podDisruptionBudget",
    "cert-manager": "podDisruptionBudget",
    "cert-manager's webhook": "webhook.podDisruptionBudget",
    "cert-manager's cainjector": "cainjector.podDisruptionBudget",
    "external-secrets": "podDisruptionBudget",
    "external-secrets' webhook": "webhook.podDisruptionBudget",
    "reloader": "reloader.podDisruptionBudget",
    "authentik's servers": "server.pdb",
    "authentik's workers": "worker.pdb",
}
"""Where each chart takes the budget of a workload that runs twice, by release (what follows an apostrophe is its part).
CloudNativePG and the DNS-01 webhook have no such value."""

SPREAD = {
    "coredns": ("coredns", ""),
    "nginx-ingress": ("nginx-ingress", "controller"),
    "cert-manager": ("cert-manager", ""),
    "cert-manager's webhook": ("cert-manager", "webhook"),
    "external-secrets": ("external-secrets", ""),
    "reloader": ("reloader", "reloader.deployment"),
    "cloudnative-pg": ("cloudnative-pg", ""),
    "authentik's servers": ("authentik", "server"),
    "authentik's workers": ("authentik", "worker"),
}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def value(graph: Graph, release: str, path: str) -> Any:
    found = reveal(graph[f"{RELEASE} {release}"].inputs["values"])
    for key in path.split(".") if path else []:
        found = found[key]
    return found


@pytest.mark.parametrize("workload", BUDGETS)
def test_a_drain_takes_one_of_two_pods_and_does_take_it(graph: Graph, workload: str) -> None:
    budget = value(graph, workload.partition("'")[0], BUDGETS[workload])
    # CoreDNS's chart makes a budget of whatever it is given, and has no switch.
    assert budget.get("enabled", True) is True
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("workload", SPREAD)
def test_a_lost_node_takes_one_of_two_pods(graph: Graph, workload: str) -> None:
    release, place = SPREAD[workload]
    tree = value(graph, release, place)
    [spread] = tree["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"], spread["maxSkew"]) == (HOSTNAME, "DoNotSchedule", 1)
    count = next(tree[key] for key in ("replicaCount", "replicas") if key in tree)
    assert count == 2


@pytest.mark.parametrize("workload", SPREAD)
def test_a_workload_is_kept_apart_from_its_own_pods_and_no_others(graph: Graph, workload: str) -> None:
    """Of labels that its pods do not have, none is ever counted, and all may be on one node."""
    release, place = SPREAD[workload]
    [spread] = value(graph, release, place)["topologySpreadConstraints"]
    counted = spread["labelSelector"]["matchLabels"].items()
    chart = str(graph[f"{RELEASE} {release}"].inputs["chart"]).rpartition("/")[2]
    for made in records.read(ROOT / "charts" / "records")[chart].made:
        templates = [one["spec"]["template"] for one in made.objects if one["kind"] == "Deployment"]
        assert len([one for one in templates if counted <= one["metadata"]["labels"].items()]) == 1


def test_the_webhook_of_challenges_is_on_two_nodes_if_it_can_be(graph: Graph) -> None:
    values = value(graph, "dns01-webhook", "")
    [preferred] = values["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert (values["replicaCount"], preferred["podAffinityTerm"]["topologyKey"]) == (2, HOSTNAME)


def test_an_ingress_pod_ends_only_when_its_last_requests_have(graph: Graph) -> None:
    controller = value(graph, "nginx-ingress", "controller")
    pause = controller["lifecycle"]["preStop"]["sleep"]["seconds"]
    workers = int(str(controller["config"]["entries"]["worker-shutdown-timeout"]).rstrip("s"))
    # First the address moves to another node, then nginx's old workers finish; only then may the kubelet kill.
    assert pause >= 5
    assert controller["terminationGracePeriodSeconds"] >= pause + workers


def test_the_clusters_dns_needs_no_worker_and_is_never_pushed_out(graph: Graph) -> None:
    values = value(graph, "coredns", "")
    assert values["priorityClassName"] == "system-cluster-critical"
    assert {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"} in values[
        "tolerations"
    ]


def test_the_clusters_dns_has_the_processor_that_a_burst_of_questions_needs(graph: Graph) -> None:
    # The chart's limit of a tenth makes lookups time out; without any limit it would be allowed all.
    assert float(value(graph, "coredns", "resources.limits.cpu")) >= 1


def test_a_database_moves_by_itself_and_without_an_outage(graph: Graph) -> None:
    spec = graph["kubernetes:postgresql.cnpg.io/v1:Cluster authentik-postgres"].inputs["spec"]
    # `supervised` waits for a person at each update, and `restart` is an outage where a switchover is not.
    assert (spec["primaryUpdateStrategy"], spec["primaryUpdateMethod"]) == ("unsupervised", "switchover")
    assert spec["affinity"] == {
        "enablePodAntiAffinity": True,
        "podAntiAffinityType": "required",
        "topologyKey": HOSTNAME,
    }


def test_vault_keeps_its_majority_over_the_loss_of_a_node(graph: Graph) -> None:
    [vault] = graph.of_type("kubernetes:vault.banzaicloud.com/v1alpha1:Vault")
    [budget] = [node for node in graph.of_type("kubernetes:policy/v1:PodDisruptionBudget") if "vault" in node.name]
    size = vault.inputs["spec"]["size"]
    assert size - budget.inputs["spec"]["maxUnavailable"] >= size // 2 + 1
    assert size == 3


def test_the_driver_of_volumes_runs_twice_where_two_control_planes_are(graph: Graph) -> None:
    assert value(graph, "proxmox-csi", "replicaCount") == 2


def test_two_reloaders_have_one_leader(graph: Graph) -> None:
    reloader = value(graph, "reloader", "reloader")
    assert (reloader["deployment"]["replicas"], reloader["enableHA"]) == (2, True)


def test_no_request_of_the_first_up_finds_a_webhook_that_does_not_answer(graph: Graph) -> None:
    # cert-manager's check asks its webhook through the API server, and Helm waits for that Job.
    assert value(graph, "cert-manager", "startupapicheck.enabled") is True


def test_a_node_that_boots_again_brings_its_vm_back(graph: Graph) -> None:
    vms = graph.of_type("proxmoxve:index/vmLegacy:VmLegacy")
    assert [vm.name for vm in vms if vm.inputs["onBoot"] is not True] == []
    # One after the other: the first control plane before those that join it.
    assert sorted(vm.inputs["startup"]["order"] for vm in vms) == [1, 2, 3, 4, 5]
