"""Vault in the recorded graph of the real program."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph
from checks.program import recorded

RESOURCE = "kubernetes:vault.banzaicloud.com/v1alpha1:Vault vault-instance"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded("lab")


@pytest.mark.parametrize(
    "first",
    [
        "kubernetes:helm.sh/v3:Release cilium",
        "kubernetes:helm.sh/v3:Release vault-operator",
        "kubernetes:cert-manager.io/v1:Certificate vault-certificate",
        "kubernetes:storage.k8s.io/v1:StorageClass proxmox",
    ],
)
def test_vault_is_made_after(graph: Graph, first: str) -> None:
    assert graph.depends(RESOURCE, first, transitive=True)


def test_vaults_certificate_is_of_the_clusters_own_authority(graph: Graph) -> None:
    certificate = graph["kubernetes:cert-manager.io/v1:Certificate vault-certificate"]
    assert certificate.inputs["spec"]["issuerRef"]["name"] == "cluster-ca"


def test_three_servers_run_where_three_nodes_can_hold_them(graph: Graph) -> None:
    assert graph[RESOURCE].inputs["spec"]["size"] == 3


def test_one_server_runs_where_fewer_nodes_are() -> None:
    def smaller(settings: dict[str, Any]) -> None:
        kept = ("controlplane-0", "worker-0")
        settings["nodes"] = {name: node for name, node in settings["nodes"].items() if name in kept}

    assert recorded("lab", change=smaller)[RESOURCE].inputs["spec"]["size"] == 1


def test_a_kubernetes_without_mutating_policies_gets_none() -> None:
    def older(settings: dict[str, Any]) -> None:
        settings["versions"]["kubernetes"] = "v1.35.4"

    graph = recorded("lab", change=older)
    assert graph.of_type("kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy") == []
