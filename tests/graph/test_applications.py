"""Namespaces and their owners, and what an application of Flux finds in its own, as the recorded program has it."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph, Node, reveal
from components.database import cloudnative_pg, postgres
from components.gitops.application_namespace import Quota
from components.gitops.border import Border
from components.gitops.scraping import PROMETHEUS
from components.kit.network_policy import Pods
from stacks.application_secrets import GITEA_DATABASE, GIVEN
from stacks.applications import APPLICATIONS, ApplicationsLayer
from tests.graph.test_conventions import graph_of
from tests.graph.test_network_policies import closed, policies, reaches

NAMESPACE = "kubernetes:core/v1:Namespace"
EXTERNAL_SECRET = "kubernetes:external-secrets.io/v1:ExternalSecret"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def made(graph: Graph, type_: str, name: str) -> Any:
    return reveal(graph[f"{type_} {name}"].inputs)


def namespaces(graph: Graph) -> dict[str, dict[str, str]]:
    """Labels of every namespace by its name."""
    found = [reveal(node.inputs)["metadata"] for node in graph.of_type(NAMESPACE)]
    return {metadata["name"]: metadata["labels"] for metadata in found}


def test_each_namespace_says_who_fills_it(graph: Graph) -> None:
    owners = {name: labels["homelab/owner"] for name, labels in namespaces(graph).items()}
    assert {name for name, owner in owners.items() if owner == "flux"} == {row.namespace for row in APPLICATIONS}
    assert set(owners.values()) == {"flux", "pulumi"}


@pytest.mark.parametrize("row", APPLICATIONS, ids=lambda row: row.namespace)
def test_an_application_finds_its_namespace_closed_and_limited(graph: Graph, row: Any) -> None:
    assert namespaces(graph)[row.namespace]["pod-security.kubernetes.io/enforce"] == row.security
    assert closed(graph, row.namespace)
    assert made(graph, "kubernetes:core/v1:ResourceQuota", f"{row.namespace}-quota")["spec"]["hard"] == row.quota.hard


@pytest.mark.parametrize("row", APPLICATIONS, ids=lambda row: row.namespace)
def test_a_container_that_states_no_resources_is_within_the_quota(graph: Graph, row: Any) -> None:
    """A quota of memory refuses a pod that says nothing of it: https://kubernetes.io/docs/concepts/policy/resource-quotas/"""
    [limits] = made(graph, "kubernetes:core/v1:LimitRange", f"{row.namespace}-defaults")["spec"]["limits"]
    assert limits["type"] == "Container"
    for kind, stated in (("requests", limits["defaultRequest"]), ("limits", limits["default"])):
        limited = {key.partition(".")[2] for key in row.quota.hard if key.startswith(f"{kind}.")}
        assert limited & {"cpu", "memory"} <= stated.keys()


@pytest.mark.parametrize("row", APPLICATIONS, ids=lambda row: row.namespace)
def test_a_pod_of_an_application_may_ask_for_names_and_call_nobody_else(graph: Graph, row: Any) -> None:
    [everywhere] = [
        spec for spec in policies(graph, row.namespace) if not spec["podSelector"] and "Egress" in spec["policyTypes"]
    ]
    [rule] = everywhere["egress"]
    assert {(port["port"], port["protocol"]) for port in rule["ports"]} == {(53, "UDP"), (53, "TCP")}
    [peer] = rule["to"]
    assert peer["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kube-system"}


def test_the_pods_that_answer_for_names_have_the_label_that_is_opened(graph: Graph) -> None:
    assert made(graph, "kubernetes:helm.sh/v3:Release", "coredns")["values"]["k8sAppLabelOverride"] == "kube-dns"


@pytest.mark.parametrize("port", [5432, 8000])
def test_the_operator_of_databases_reaches_that_of_gitea(graph: Graph, port: int) -> None:
    servers = postgres.pods("gitea-postgres")
    assert reaches(graph, cloudnative_pg.PODS, "gitea", servers, port)
    assert reaches(graph, Pods(labels=servers, namespace="gitea"), "gitea", servers, port)
    assert not reaches(graph, Pods(labels={"a": "b"}, namespace="gitea"), "gitea", servers, port)


@pytest.mark.parametrize("row", [row for row in APPLICATIONS if row.database], ids=lambda row: row.namespace)
def test_prometheus_reaches_the_metrics_of_a_database_and_nothing_else_of_it(graph: Graph, row: Any) -> None:
    servers = postgres.pods(row.database)
    assert reaches(graph, PROMETHEUS, row.namespace, servers, postgres.METRICS)
    assert not reaches(graph, PROMETHEUS, row.namespace, servers, 5432)


def test_a_database_may_call_the_api_server(graph: Graph) -> None:
    servers = {"matchLabels": postgres.pods("gitea-postgres")}
    assert [{}] in [spec.get("egress") for spec in policies(graph, "gitea") if spec["podSelector"] == servers]


def test_the_password_of_giteas_database_is_one_that_a_rotation_reaches(graph: Graph) -> None:
    template = made(graph, EXTERNAL_SECRET, GITEA_DATABASE.name)["spec"]["target"]["template"]
    assert template["type"] == "kubernetes.io/basic-auth"
    assert template["metadata"]["labels"] == {"cnpg.io/reload": "true"}
    assert template["data"] == {"username": "gitea"}


def given(graph: Graph) -> list[Node]:
    return [graph[f"{EXTERNAL_SECRET} {name}"] for name in GIVEN]


def test_a_value_that_nobody_gave_holds_up_no_up(graph: Graph) -> None:
    """A provider waits for a custom resource only where an annotation says for what."""
    assert given(graph)
    for node in given(graph):
        assert "pulumi.com/waitFor" not in reveal(node.inputs)["metadata"]["annotations"]
        assert [repr(other) for other in graph.resources() if node.urn in graph.edges(other.urn)] == []


def test_a_given_value_is_read_where_make_give_puts_it(graph: Graph) -> None:
    for node in given(graph):
        spec = GIVEN[node.name].spec
        data = reveal(node.inputs)["spec"]["data"]
        assert {each["secretKey"]: each["remoteRef"] for each in data} == {
            key: {"key": spec.path, "property": key} for key in spec.keys
        }


def test_an_application_without_a_row_is_named() -> None:
    layer = ApplicationsLayer(border=Border.__new__(Border), namespaces={"gitea": None})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="'gitae' is no application; did you mean"):
        layer.namespace("gitae")


@pytest.mark.parametrize("wrong", [{"cpu": "two"}, {"memory": "0"}, {"storage": "1 GiB"}, {"load_balancers": -1}])
def test_a_quota_that_kubernetes_would_not_read_is_refused(wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"cpu": "2", "memory": "4Gi", "storage": "10Gi"}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Quota(**right | wrong)
