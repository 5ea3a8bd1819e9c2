"""The secret store on the recorded graph of a sample program: order, rights, and who may use it."""

from __future__ import annotations

import pytest

from checks.graph import Graph, convention_findings
from tests.graph.secret_program import BINDING, EXTERNAL, PASSWORD, PUSH, RELEASE, STORE, recorded, spec


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


def test_the_conventions_are_kept(graph: Graph) -> None:
    assert convention_findings(graph, "homelab") == []


@pytest.mark.parametrize("name", [f"{PUSH} dns-key-v1-hex-32", f"{EXTERNAL} dns-key", STORE])
def test_what_must_be_ready_is_waited_for(graph: Graph, name: str) -> None:
    assert graph[name].inputs["metadata"]["annotations"]["pulumi.com/waitFor"] == "condition=Ready"


@pytest.mark.parametrize("before", [STORE, f"{BINDING} vault-access-dns", f"{PASSWORD} dns-key-hex-32"])
def test_a_push_waits_for_its_generator_its_access_and_the_store(graph: Graph, before: str) -> None:
    assert graph.depends(f"{PUSH} dns-key-v1-hex-32", before)


@pytest.mark.parametrize("before", [f"{RELEASE} external-secrets", "configured-vault", "authority"])
def test_the_store_waits_for_operator_vault_and_authority(graph: Graph, before: str) -> None:
    assert graph.depends(STORE, before)


def test_the_operator_waits_for_the_issuer_of_its_webhook(graph: Graph) -> None:
    assert graph.depends(f"{RELEASE} external-secrets", "issuer")


def test_a_consumers_secrets_wait_until_a_value_has_been_to_vault_and_back(graph: Graph) -> None:
    assert graph.depends(f"{PUSH} dns-key-v1-hex-32", f"{EXTERNAL} store-probe", transitive=True)


def test_the_store_serves_the_namespaces_that_have_secrets_and_no_other(graph: Graph) -> None:
    assert spec(graph, STORE)["conditions"] == [{"namespaces": ["dns", "external-secrets"]}]


def test_the_store_names_an_account_without_a_namespace(graph: Graph) -> None:
    account = spec(graph, STORE)["provider"]["vault"]["auth"]["kubernetes"]["serviceAccountRef"]
    assert account == {"name": "vault-client", "audiences": ["vault"]}


def test_every_write_to_vault_says_what_it_replaces(graph: Graph) -> None:
    assert spec(graph, STORE)["provider"]["vault"]["checkAndSet"] == {"required": True}


def test_the_operator_may_make_tokens_of_that_account_alone(graph: Graph) -> None:
    [rule] = graph["kubernetes:rbac.authorization.k8s.io/v1:Role vault-access-dns"].inputs["rules"]
    assert rule == {
        "apiGroups": [""],
        "resources": ["serviceaccounts/token"],
        "resourceNames": ["vault-client"],
        "verbs": ["create"],
    }


def test_the_chart_does_not_grant_tokens_of_every_account(graph: Graph) -> None:
    assert graph[f"{RELEASE} external-secrets"].inputs["values"]["rbac"]["serviceAccountTokenCreate"] is False


def test_the_right_is_given_to_the_account_that_the_operator_runs_as(graph: Graph) -> None:
    release, [subject] = graph[f"{RELEASE} external-secrets"], graph[f"{BINDING} vault-access-dns"].inputs["subjects"]
    assert (subject["name"], subject["namespace"]) == (release.inputs["name"], release.inputs["namespace"])


def test_the_webhook_does_not_end_itself_over_a_fresh_certificate(graph: Graph) -> None:
    webhook = graph[f"{RELEASE} external-secrets"].inputs["values"]["webhook"]
    certificate = webhook["certManager"]["cert"]
    hours = [int(text.rstrip("h")) for text in (webhook["lookaheadInterval"], certificate["renewBefore"])]
    assert sorted(hours) == hours


def test_reflector_has_no_right_to_change_a_config_map(graph: Graph) -> None:
    rules = graph["kubernetes:rbac.authorization.k8s.io/v1:ClusterRole reflector"].inputs["rules"]
    granted = {resource: set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    assert granted["configmaps"] == {"get", "list", "watch"}
    assert graph[f"{RELEASE} reflector"].inputs["values"]["rbac"] == {"enabled": False}


@pytest.mark.parametrize(
    ("release", "place"),
    [("external-secrets", ()), ("external-secrets", ("webhook",)), ("reloader", ("reloader", "deployment"))],
)
def test_what_runs_twice_runs_on_two_nodes(graph: Graph, release: str, place: tuple[str, ...]) -> None:
    tree = graph[f"{RELEASE} {release}"].inputs["values"]
    for key in place:
        tree = tree[key]
    [spread] = tree["topologySpreadConstraints"]
    assert (spread["whenUnsatisfiable"], tree.get("replicaCount", tree.get("replicas"))) == ("DoNotSchedule", 2)
