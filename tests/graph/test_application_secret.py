"""An application secret on the recorded graph: when, where and how often a value is made, and who gets it."""

from __future__ import annotations

from typing import Any

import pytest

from checks.graph import Graph
from components.secrets.application_secret import ApplicationSecret
from components.secrets.reloader import restart_on
from tests.graph.secret_program import EXTERNAL, PASSWORD, PUSH, RELEASE, recorded, spec

MADE: dict[str, ApplicationSecret] = {}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded(MADE)


@pytest.fixture
def made(graph: Graph) -> dict[str, ApplicationSecret]:
    assert graph.error is None
    return MADE


@pytest.fixture
def secret(made: dict[str, ApplicationSecret]) -> ApplicationSecret:
    return made["dns-key"]


def paths(graph: Graph) -> set[str]:
    """All places in Vault that are written."""
    return {
        entry["match"]["remoteRef"]["remoteKey"]
        for node in graph.of_type(PUSH)
        for entry in node.inputs["spec"]["data"]
    }


def test_a_value_is_written_only_where_there_is_none(graph: Graph) -> None:
    assert {node.inputs["spec"]["updatePolicy"] for node in graph.of_type(PUSH)} == {"IfNotExists"}


def test_a_value_is_not_pushed_again_by_the_clock(graph: Graph) -> None:
    assert {node.inputs["spec"]["refreshInterval"] for node in graph.of_type(PUSH)} == {"0s"}


def test_no_value_in_vault_is_deleted_with_the_object_that_wrote_it(graph: Graph) -> None:
    assert {node.inputs["spec"]["deletionPolicy"] for node in graph.of_type(PUSH)} == {"None"}


def test_an_external_secret_reads_vault_and_never_a_generator(graph: Graph) -> None:
    read = [node.inputs["spec"] for node in graph.of_type(EXTERNAL)]
    assert [one for one in read if "dataFrom" in one or one["secretStoreRef"]["kind"] != "ClusterSecretStore"] == []


def test_a_secret_stays_when_vault_does_not_answer(graph: Graph) -> None:
    assert {node.inputs["spec"]["target"]["deletionPolicy"] for node in graph.of_type(EXTERNAL)} == {"Retain"}


@pytest.mark.parametrize("key", ["api-key", "web-key", "cookie"])
def test_what_is_written_is_what_is_read(graph: Graph, key: str) -> None:
    written = {
        entry["match"]["secretKey"]: entry["match"]["remoteRef"]
        for node in graph.of_type(PUSH)
        if node.name.startswith("dns-key")
        for entry in node.inputs["spec"]["data"]
    }
    read = {entry["secretKey"]: entry["remoteRef"] for entry in spec(graph, f"{EXTERNAL} dns-key")["data"]}
    assert {"key": written[key]["remoteKey"], "property": written[key]["property"]} == read[key]


def test_keys_of_one_recipe_share_a_generator_and_others_do_not(graph: Graph) -> None:
    made = {node.name: node.inputs["spec"]["secretKeys"] for node in graph.of_type(PASSWORD) if "dns" in node.name}
    assert made == {"dns-key-password-48": ["api-key", "web-key"], "dns-key-hex-32": ["cookie"]}


@pytest.mark.parametrize("recipe", ["password-48", "hex-32"])
def test_a_push_takes_its_own_generators_values(graph: Graph, recipe: str) -> None:
    generator = spec(graph, f"{PUSH} dns-key-v1-{recipe}")["selector"]["generatorRef"]["name"]
    assert generator == graph[f"{PASSWORD} dns-key-{recipe}"].inputs["metadata"]["name"]


def test_plain_and_derived_keys_are_written_beside_the_generated_ones(graph: Graph) -> None:
    template = spec(graph, f"{EXTERNAL} dns-key")["target"]["template"]
    assert template["data"] == {"config": 'key={{ index . "api-key" }}', "user": "api"}
    assert template["mergePolicy"] == "Merge"


def test_no_custom_resource_has_an_empty_map(graph: Graph) -> None:
    assert [node for node in graph.resources() if "external-secrets.io" in node.type and _empty(node.inputs)] == []


def _empty(value: Any) -> bool:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value == {} or any(_empty(member) for member in members)


def test_nothing_is_read_before_it_is_written(graph: Graph) -> None:
    assert all(graph.depends(f"{EXTERNAL} dns-key", f"{PUSH} dns-key-v1-{r}") for r in ("password-48", "hex-32"))


def test_a_rotation_writes_another_path_and_reads_it() -> None:
    rotated = recorded(dns_key=2)
    assert {path for path in paths(rotated) if "dns-key" in path} == {"dns/dns-key/v2"}
    read = {entry["remoteRef"]["key"] for entry in spec(rotated, f"{EXTERNAL} dns-key")["data"]}
    assert read == {"dns/dns-key/v2"}


def test_a_rotation_changes_nothing_of_another_secret(graph: Graph) -> None:
    rotated = recorded(dns_key=2)
    changed = [
        node.name
        for node in rotated.resources()
        if node.urn not in graph.nodes or graph.nodes[node.urn].inputs != node.inputs
    ]
    assert sorted(changed) == ["dns-key", "dns-key-v2-hex-32", "dns-key-v2-password-48"]


def test_a_rotation_is_waited_for_by_a_new_object(graph: Graph) -> None:
    rotated = recorded(dns_key=2)
    new = rotated[f"{PUSH} dns-key-v2-hex-32"]
    assert new.inputs["metadata"]["name"] != graph[f"{PUSH} dns-key-v1-hex-32"].inputs["metadata"]["name"]
    assert rotated.depends(f"{EXTERNAL} dns-key", new.urn)


def test_a_reference_is_ready_with_the_secret(secret: ApplicationSecret) -> None:
    reference = secret.reference("user")
    assert (reference.namespace, reference.selector) == ("dns", {"name": "dns-key", "key": "user"})
    assert reference.ready is secret.reference("config").ready


def test_a_reference_to_a_key_that_is_not_there_is_refused(secret: ApplicationSecret) -> None:
    with pytest.raises(
        ValueError, match="dns-key has no key 'api_key'; there are api-key, config, cookie, user, web-key"
    ):
        secret.reference("api_key")


def test_a_copy_is_referred_to_by_its_own_namespace(secret: ApplicationSecret) -> None:
    assert secret.reference("api-key", namespace="edge").namespace == "edge"


def test_a_reference_to_a_copy_that_is_not_made_is_refused(secret: ApplicationSecret) -> None:
    with pytest.raises(ValueError, match="dns-key is not mirrored to 'other'"):
        secret.reference("api-key", namespace="other")


def test_a_secret_is_copied_to_the_named_namespaces_and_may_go_nowhere_else(graph: Graph) -> None:
    prefix = "reflector.v1.k8s.emberstack.com/reflection-"
    assert spec(graph, f"{EXTERNAL} dns-key")["target"]["template"]["metadata"]["annotations"] == {
        f"{prefix}allowed": "true",
        f"{prefix}allowed-namespaces": "certificates,edge",
        f"{prefix}auto-enabled": "true",
        f"{prefix}auto-namespaces": "certificates,edge",
    }


def test_a_secret_that_is_not_copied_says_nothing_to_reflector(graph: Graph) -> None:
    assert "reflector" not in str(spec(graph, f"{EXTERNAL} token"))


def test_a_copied_secret_waits_for_what_copies_it(graph: Graph) -> None:
    assert graph.depends(f"{EXTERNAL} dns-key", f"{RELEASE} reflector")


def test_a_workload_restarts_for_its_secrets_by_their_names(
    secret: ApplicationSecret, made: dict[str, ApplicationSecret]
) -> None:
    key, user, token = secret.reference("api-key"), secret.reference("user"), made["token"].reference("token")
    assert restart_on(token, user, key) == {"secret.reloader.stakater.com/reload": "dns-key,token"}


def test_a_workload_cannot_restart_for_a_secret_of_another_namespace(secret: ApplicationSecret) -> None:
    with pytest.raises(ValueError, match="Secrets of dns, edge; a pod reads those of its own namespace alone"):
        restart_on(secret.reference("user"), secret.reference("user", namespace="edge"))


def test_every_node_below_an_application_secret_is_in_its_namespace(graph: Graph) -> None:
    below = [n for n in graph.resources() if graph.nodes[n.parent].type == "homelab:secrets:ApplicationSecret"]
    assert {(graph.nodes[node.parent].name, node.inputs["metadata"]["namespace"]) for node in below} == {
        ("dns-key", "dns"),
        ("token", "dns"),
        ("store-probe", "external-secrets"),
    }
