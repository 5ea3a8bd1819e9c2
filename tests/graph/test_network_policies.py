"""Who reaches whom among the platform's pods, as the recorded policies say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from checks.graph import UNKNOWN, Graph, Node, reveal
from components.certificates.acme import SOLVERS
from components.database import cloudnative_pg, postgres_backup
from components.gitops.scraping import PROMETHEUS
from components.identity import authentik, oidc_probe
from components.kit.network_policy import Access, Pods
from components.network import nginx_ingress
from components.secrets import external_secrets
from components.vault import operator as vault_operator
from tests.graph.test_conventions import graph_of

POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"

WEBHOOK = "the API server calls its webhook from a host's network, which no policy can name"
OPEN = {
    "cert-manager": WEBHOOK,
    "external-secrets": WEBHOOK,
    "kube-system": "it is Talos's own, with DNS for everybody and static pods",
}
"""Namespaces with Secrets that are not closed, and why."""

VAULT = {"app.kubernetes.io/name": "vault", "vault_cr": "instance"}
SERVER = {**authentik.PODS.labels, "app.kubernetes.io/component": "server"}
WORKER = {**authentik.PODS.labels, "app.kubernetes.io/component": "worker"}
DATABASE = {"cnpg.io/cluster": "authentik-postgres", "role": "primary"}
CSI_CONTROLLER = {"app.kubernetes.io/name": "proxmox-csi-plugin", "app.kubernetes.io/component": "controller"}
STRANGER = Pods(labels={"app.kubernetes.io/name": "stranger"}, namespace="default")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def policies(graph: Graph, namespace: str) -> list[dict[str, Any]]:
    found = [reveal(node.inputs) for node in graph.of_type(POLICY)]
    return [policy["spec"] for policy in found if policy["metadata"]["namespace"] == namespace]


def namespaces_with_secrets(graph: Graph) -> set[str]:
    """Of Secrets, of what makes one, and of Helm releases that read one by its name."""
    makers = {
        "kubernetes:core/v1:Secret",
        "kubernetes:external-secrets.io/v1:ExternalSecret",
        "kubernetes:cert-manager.io/v1:Certificate",
        "kubernetes:vault.banzaicloud.com/v1alpha1:Vault",
        "kubernetes:postgresql.cnpg.io/v1:Cluster",
    }
    return {str(namespace) for node in graph.resources() if node.type in makers for namespace in _namespaces(node)}


def _namespaces(node: Node) -> Iterator[Any]:
    inputs = reveal(node.inputs)
    metadata = inputs["metadata"]
    yield metadata["namespace"]
    annotations: Mapping[str, Any] = (
        (inputs.get("spec") or {}).get("target", {}).get("template", {}).get("metadata", {}).get("annotations", {})
    ) or metadata.get("annotations", {})
    for key, value in annotations.items():
        if "reflection" in key and key.endswith("namespaces"):
            yield from str(value).split(",")


def closed(graph: Graph, namespace: str) -> bool:
    everything = {"podSelector": {}, "policyTypes": ["Ingress"]}
    return everything in [
        {key: value for key, value in spec.items() if value not in (None, [])} for spec in policies(graph, namespace)
    ]


def reaches(graph: Graph, caller: Pods, namespace: str, labels: Mapping[str, str], port: int) -> bool:
    """Whether a pod may connect to another, as Kubernetes reads the policies of the other's namespace."""
    selecting = [spec for spec in policies(graph, namespace) if _selects(spec["podSelector"], labels)]
    if not selecting:
        return True
    return any(
        port in [one["port"] for one in rule["ports"]]
        and any(_is_from(peer, caller, namespace) for peer in rule["from"])
        for spec in selecting
        for rule in spec.get("ingress") or []
    )


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())


def _is_from(peer: Mapping[str, Any], caller: Pods, namespace: str) -> bool:
    wanted = peer.get("namespaceSelector")
    there = namespace if wanted is None else wanted["matchLabels"]["kubernetes.io/metadata.name"]
    return bool(caller.namespace == there and _selects(peer["podSelector"], caller.labels))


def pods(labels: Mapping[str, str], namespace: str) -> Pods:
    return Pods(labels=labels, namespace=namespace)


def flux_controller(name: str) -> Pods:
    """With the labels that Flux's own manifests give a controller's pods."""
    labels = {"app": f"{name}-controller", "app.kubernetes.io/part-of": "flux"}
    return Pods(labels={**labels, "app.kubernetes.io/component": f"{name}-controller"}, namespace="flux-system")


GITEA = Pods(labels={"app.kubernetes.io/name": "gitea", "app": "gitea"}, namespace="gitea")


def test_no_namespace_with_secrets_is_open_by_accident(graph: Graph) -> None:
    found = namespaces_with_secrets(graph)
    assert str(UNKNOWN) not in found
    made = {reveal(node.inputs)["metadata"]["name"] for node in graph.of_type("kubernetes:core/v1:Namespace")}
    others = {"kube-system"}  # Talos makes it; those of applications, which get copies, are Flux's
    assert {namespace for namespace in found & (made | others) if not closed(graph, namespace)} == set(OPEN)


@pytest.mark.parametrize(
    ("caller", "namespace", "labels", "port"),
    [
        (external_secrets.PODS, "vault", VAULT, 8200),
        (nginx_ingress.PODS, "vault", VAULT, 8200),
        (vault_operator.PODS, "vault", VAULT, 8200),
        (pods({"app.kubernetes.io/name": "vault-configurator", "vault_cr": "instance"}, "vault"), "vault", VAULT, 8200),
        (pods(VAULT, "vault"), "vault", VAULT, 8200),
        (pods(VAULT, "vault"), "vault", VAULT, 8201),
        (nginx_ingress.PODS, "vault", SOLVERS.to, 8089),
        (cloudnative_pg.PODS, "authentik", DATABASE, 8000),
        (cloudnative_pg.PODS, "authentik", DATABASE, 5432),
        (pods(DATABASE, "authentik"), "authentik", DATABASE, 5432),
        (pods(DATABASE, "authentik"), "authentik", DATABASE, 8000),
        (pods(SERVER, "authentik"), "authentik", DATABASE, 5432),
        (pods(WORKER, "authentik"), "authentik", DATABASE, 5432),
        (pods(postgres_backup.PODS.labels, "authentik"), "authentik", DATABASE, 5432),
        (nginx_ingress.PODS, "authentik", SERVER, 9000),
        (pods(oidc_probe.PODS.labels, "authentik"), "authentik", SERVER, 9000),
        (nginx_ingress.PODS, "authentik", SOLVERS.to, 8089),
        (flux_controller("kustomize"), "flux-system", flux_controller("source").labels, 9090),
        (flux_controller("helm"), "flux-system", flux_controller("source").labels, 9090),
        (flux_controller("source"), "flux-system", flux_controller("notification").labels, 9090),
        (GITEA, "flux-system", flux_controller("notification").labels, 9292),
        (PROMETHEUS, "flux-system", flux_controller("source").labels, 8080),
        (PROMETHEUS, "vault", VAULT, 9091),
        (PROMETHEUS, "authentik", SERVER, 9300),
        (PROMETHEUS, "authentik", WORKER, 9300),
        (PROMETHEUS, "authentik", DATABASE | {"cnpg.io/podRole": "instance"}, 9187),
        (PROMETHEUS, "external-dns", {"app.kubernetes.io/name": "external-dns"}, 7979),
        (PROMETHEUS, "powerdns", {"app.kubernetes.io/component": "server"}, 8081),
        (PROMETHEUS, "powerdns", {"app.kubernetes.io/name": "powerdns-operator"}, 8080),
        (PROMETHEUS, "csi-proxmox", CSI_CONTROLLER, 8080),
    ],
)
def test_who_needs_a_pod_reaches_it(
    graph: Graph, caller: Pods, namespace: str, labels: Mapping[str, str], port: int
) -> None:
    assert reaches(graph, caller, namespace, labels, port)


@pytest.mark.parametrize(
    ("caller", "namespace", "labels", "port"),
    [
        (STRANGER, "vault", VAULT, 8200),
        (external_secrets.PODS, "vault", VAULT, 8201),
        (pods({"app.kubernetes.io/name": "vault-configurator", "vault_cr": "instance"}, "vault"), "vault", VAULT, 8201),
        (STRANGER, "authentik", DATABASE, 5432),
        (pods(VAULT, "vault"), "authentik", DATABASE, 5432),
        (pods(SERVER, "authentik"), "authentik", DATABASE, 8000),
        (nginx_ingress.PODS, "authentik", DATABASE, 5432),
        (STRANGER, "authentik", SERVER, 9000),
        (nginx_ingress.PODS, "authentik", WORKER, 9000),
        (STRANGER, "external-dns", {}, 7979),
        (STRANGER, "csi-proxmox", CSI_CONTROLLER, 8080),
        (STRANGER, "powerdns", {"app.kubernetes.io/name": "powerdns-operator"}, 8080),
        (PROMETHEUS, "csi-proxmox", {"app.kubernetes.io/component": "node"}, 8080),
        (STRANGER, "flux-system", flux_controller("source").labels, 9090),
        (STRANGER, "flux-system", flux_controller("notification").labels, 9292),
        (GITEA, "flux-system", flux_controller("source").labels, 9090),
        (GITEA, "flux-system", flux_controller("notification").labels, 9090),
        (PROMETHEUS, "vault", VAULT, 8200),
        (PROMETHEUS, "authentik", SERVER, 9000),
        (PROMETHEUS, "authentik", DATABASE | {"cnpg.io/podRole": "instance"}, 5432),
        (PROMETHEUS, "flux-system", flux_controller("source").labels, 9090),
    ],
)
def test_nobody_else_does(graph: Graph, caller: Pods, namespace: str, labels: Mapping[str, str], port: int) -> None:
    assert not reaches(graph, caller, namespace, labels, port)


def test_a_policy_that_names_no_caller_is_refused() -> None:
    with pytest.raises(ValueError, match="opens for everybody"):
        Access(name="vault-api", to=VAULT, ports=[8200], callers=[])
