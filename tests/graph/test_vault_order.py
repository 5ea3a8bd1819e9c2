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


@pytest.mark.parametrize(
    ("role", "resource", "verbs"),
    [
        # A leader that cannot renew its lease ends after some seconds: client-go's leaderelection.
        ("own", "leases", "get create update"),
        ("own", "events", "create patch"),
        # What createOrUpdateObject in pkg/controller/vault/vault_controller.go writes, and what its client watches.
        ("vaults", "statefulsets", "get list watch create update"),
        ("vaults", "deployments", "get list watch create update"),
        ("vaults", "services", "get list watch create update"),
        ("vaults", "secrets", "get list watch create update"),
        ("vaults", "configmaps", "get list watch delete"),
        ("vaults", "pods", "get list watch"),
        ("vaults", "vaults", "get list watch update"),
        ("vaults", "vaults/status", "update"),
    ],
)
def test_vaults_operator_may_do_what_each_of_its_passes_does(
    graph: Graph, role: str, resource: str, verbs: str
) -> None:
    rules = graph[f"kubernetes:rbac.authorization.k8s.io/v1:Role vault-operator-{role}-role"].inputs["rules"]
    allowed = {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}
    assert allowed >= set(verbs.split())


def test_a_kubernetes_without_mutating_policies_gets_none() -> None:
    def older(settings: dict[str, Any]) -> None:
        settings["versions"]["kubernetes"] = "v1.35.4"

    graph = recorded("lab", change=older)
    assert graph.of_type("kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy") == []
