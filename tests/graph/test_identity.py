"""Phases of single sign-on on the recorded graph of the real program: their order, and who depends on whom."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from checks.direct_vault import file_findings
from checks.graph import Graph
from checks.program import recorded
from checks.sign_on import PUBLIC, consumer, disagreements, providers, vault
from components.secrets.secret_spec import template_fields
from stacks import sso
from tests.manifests import manifests

RELEASE = "kubernetes:helm.sh/v3:Release"
EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret"
JOB = "kubernetes:batch/v1:Job"
CLUSTER = "kubernetes:postgresql.cnpg.io/v1:Cluster authentik-postgres"
CERTIFICATE = "kubernetes:cert-manager.io/v1:Certificate authentik-certificate"
VAULT = "kubernetes:vault.banzaicloud.com/v1alpha1:Vault vault-instance"
AUTHENTIK = f"{RELEASE} authentik"
BLUEPRINTS = f"{EXTERNAL} authentik-blueprints"
SERVICES, ANSWER = f"{JOB} authentik-services", f"{JOB} authentik-vault"
CLIENT, DOCUMENT = f"{EXTERNAL} oidc-vault", f"{EXTERNAL} vault-sign-on"

PHASES = (
    (VAULT, f"{EXTERNAL} store-probe"),
    (CLUSTER, BLUEPRINTS, AUTHENTIK, SERVICES),
    (CLIENT, ANSWER, DOCUMENT),
)
"""What there is to wait for in each phase, in its order."""


@pytest.fixture(scope="module", params=["lab", "prod"])
def graph(request: pytest.FixtureRequest) -> Graph:
    return recorded(str(request.param))


def domain(graph: Graph) -> str:
    host: str = graph[CERTIFICATE].inputs["spec"]["dnsNames"][0]
    return host.removeprefix(f"{sso.AUTHORITY}.")


def signer(graph: Graph) -> str:
    """Who signs Authentik's certificate, as far as its clients are concerned."""
    private = graph[CERTIFICATE].inputs["spec"]["issuerRef"]["name"] == "cluster-ca"
    return f"{sso.PRIVATE_AUTHORITY.secret}/{sso.PRIVATE_AUTHORITY.key}" if private else PUBLIC


def files(graph: Graph, secret: str) -> dict[str, str]:
    """Content of a Secret, as the operator fills it in but for generated values."""
    data: dict[str, str] = graph[f"{EXTERNAL} {secret}"].inputs["spec"]["target"]["template"]["data"]
    return {key: text.replace('{{ "{{" }}', "{{") for key, text in data.items()}


ORDER = [step for phase in PHASES for step in phase if step != CLUSTER]


@pytest.mark.parametrize(("earlier", "later"), pairwise(ORDER))
def test_each_step_waits_for_the_one_before_it(earlier: str, later: str) -> None:
    assert recorded("lab").depends(later, earlier, transitive=True)


@pytest.mark.parametrize(("earlier", "later"), pairwise(step for step in ORDER if step != ANSWER))
def test_each_step_that_the_world_cannot_delay_waits_for_the_one_before_it(earlier: str, later: str) -> None:
    assert recorded("prod").depends(later, earlier, transitive=True)


@pytest.mark.parametrize("number", [2, 3])
def test_no_step_depends_on_a_later_phase(graph: Graph, number: int) -> None:
    later = [step for phase in PHASES[number - 1 :] for step in phase if step in graph]
    earlier = [step for phase in PHASES[: number - 1] for step in phase]
    assert [(a, b) for a in earlier for b in later if graph.depends(a, b, transitive=True)] == []


def test_nothing_of_the_program_waits_for_the_last_phase(graph: Graph) -> None:
    names = {node.urn for node in graph.resources() if graph.depends(node.urn, CLIENT, transitive=True)}
    assert names == {graph[step].urn for step in (ANSWER, DOCUMENT) if step in graph}


def test_nothing_of_the_program_waits_for_the_copy_of_the_authority() -> None:
    lab = recorded("lab")
    copy = lab[f"{EXTERNAL} {sso.PRIVATE_AUTHORITY.secret}"].urn
    assert [node.name for node in lab.resources() if lab.depends(node.urn, copy, transitive=True)] == []


@pytest.mark.parametrize("step", [CLUSTER, BLUEPRINTS, AUTHENTIK, SERVICES])
def test_authentik_does_not_wait_for_its_certificate(graph: Graph, step: str) -> None:
    assert not graph.depends(step, CERTIFICATE, transitive=True)


def test_vault_is_told_only_when_it_could_reach_authentik_itself() -> None:
    graph = recorded("lab")
    assert graph.depends(ANSWER, CERTIFICATE, transitive=True)
    assert graph.depends(ANSWER, f"{RELEASE} nginx-ingress", transitive=True)
    pod = graph[ANSWER].inputs["spec"]["template"]["spec"]
    aliases = graph[VAULT].inputs["spec"]["vaultPodSpec"]["hostAliases"]
    assert pod["hostAliases"] == aliases == [{"ip": aliases[0]["ip"], "hostnames": [sso.authority(domain(graph))]}]


def test_nothing_waits_for_a_certificate_that_is_up_to_the_world() -> None:
    graph = recorded("prod")
    certificates = graph.of_type("kubernetes:cert-manager.io/v1:Certificate")
    public = [node for node in certificates if node.inputs["spec"]["issuerRef"]["name"].startswith("letsencrypt-")]
    assert {node.name for node in public} >= {"authentik-certificate", "vault-entry-certificate"}
    told = [node.inputs["metadata"].get("annotations", {}) for node in public]
    assert [annotations for annotations in told if "pulumi.com/waitFor" in annotations] == []
    # The ingress needs its own one to be there, and starts with a temporary certificate in it.
    others = [node for node in public if node.name != "wildcard"]
    after = [node for node in graph.resources() if any(graph.depends(node.urn, one.urn) for one in others)]
    # The provider would wait for an Ingress's address; this one is skipped.
    awaited = [node.name for node in after if node.inputs["metadata"]["annotations"]["pulumi.com/skipAwait"] != "true"]
    assert awaited == []


@pytest.mark.parametrize("name", ["authentik-database", "authentik-configuration", "authentik-bootstrap"])
def test_authentik_starts_after_its_secrets(graph: Graph, name: str) -> None:
    assert graph.depends(AUTHENTIK, f"{EXTERNAL} {name}", transitive=True)


@pytest.mark.parametrize("before", [f"{RELEASE} cloudnative-pg", f"{EXTERNAL} authentik-database"])
def test_the_database_waits_for_operator_and_password(graph: Graph, before: str) -> None:
    assert graph.depends(CLUSTER, before)


@pytest.mark.parametrize("service", sso.others(), ids=lambda service: service.slug)
def test_both_sides_of_a_service_agree_in_what_is_deployed(graph: Graph, service: Any) -> None:
    found = providers(_blueprints(graph), sso.authority(domain(graph)), signer(graph))[service.slug]
    assert list(disagreements(service.slug, found, consumer(service.slug, files(graph, service.secret)))) == []


def test_both_sides_of_vault_agree_in_what_is_deployed(graph: Graph) -> None:
    found = providers(_blueprints(graph), sso.authority(domain(graph)), signer(graph))["vault"]
    [document] = files(graph, "vault-sign-on").values()
    own = vault(document, f"vault.{domain(graph)}", signer(graph))
    assert list(disagreements("vault", found, own)) == []


def test_each_service_finds_the_authority_of_a_private_certificate_in_its_namespace() -> None:
    lab = recorded("lab")
    copy = lab[f"{EXTERNAL} {sso.PRIVATE_AUTHORITY.secret}"].inputs
    [source] = copy["spec"]["target"]["template"]["templateFrom"]
    certificate = lab[CERTIFICATE].inputs
    assert source["secret"]["name"] == certificate["spec"]["secretName"]
    assert [item["key"] for item in source["secret"]["items"]] == [sso.PRIVATE_AUTHORITY.key]
    assert copy["metadata"]["namespace"] == certificate["metadata"]["namespace"]
    into = copy["spec"]["target"]["template"]["metadata"]["annotations"][
        "reflector.v1.k8s.emberstack.com/reflection-auto-namespaces"
    ]
    assert into.split(",") == sorted(service.namespace for service in sso.others())


def test_no_copy_of_an_authority_is_made_where_everybody_trusts_it() -> None:
    assert f"{EXTERNAL} {sso.PRIVATE_AUTHORITY.secret}" not in {
        f"{node.type} {node.name}" for node in recorded("prod").resources()
    }


def test_nothing_that_is_secret_gets_into_the_copy_of_the_authority() -> None:
    template = recorded("lab")[f"{EXTERNAL} {sso.PRIVATE_AUTHORITY.secret}"].inputs["spec"]["target"]["template"]
    assert (template["mergePolicy"], "data" in template) == ("Replace", False)


def _blueprints(graph: Graph) -> list[str]:
    return [files(graph, "authentik-blueprints")[sso.BLUEPRINT], files(graph, "oidc-vault")[sso.BLUEPRINT]]


@pytest.mark.parametrize("service", sso.others(), ids=lambda service: service.slug)
def test_authentik_and_a_service_read_one_value_of_vault(graph: Graph, service: Any) -> None:
    sources = {entry["secretKey"]: entry["remoteRef"] for entry in graph[BLUEPRINTS].inputs["spec"]["data"]}
    [own] = graph[f"{EXTERNAL} {service.secret}"].inputs["spec"]["data"]
    assert sources[service.slug] == own["remoteRef"]


def test_vault_and_authentik_read_one_value_for_vault(graph: Graph) -> None:
    [own], [again] = (graph[name].inputs["spec"]["data"] for name in (CLIENT, DOCUMENT))
    assert own["remoteRef"] == again["remoteRef"]


def test_a_file_uses_every_value_that_its_secret_reads_and_no_other(graph: Graph) -> None:
    for name in ("authentik-blueprints", "vault-sign-on"):
        spec = graph[f"{EXTERNAL} {name}"].inputs["spec"]
        used = {field for text in spec["target"]["template"]["data"].values() for field in template_fields(text)}
        assert used == {entry["secretKey"] for entry in spec["data"]}


def test_the_operator_finds_vaults_second_document(graph: Graph) -> None:
    labels = graph[DOCUMENT].inputs["spec"]["target"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "vault-configurator", "vault_cr": "instance"}
    assert graph[DOCUMENT].inputs["metadata"]["namespace"] == graph[VAULT].inputs["metadata"]["namespace"]


def test_vaults_second_document_repeats_the_first_ones_methods(graph: Graph) -> None:
    [document] = files(graph, "vault-sign-on").values()
    first = graph[VAULT].inputs["spec"]["externalConfig"]["auth"]
    assert json.loads(document)["auth"][: len(first)] == first


def test_a_rotated_client_secret_changes_both_sides_and_no_other() -> None:
    before, after = recorded("prod"), recorded("prod", change=lambda raw: raw.update(rotation={"oidc-gitea": 2}))
    changed = {
        node.urn.rpartition("::")[2]
        for node in after.resources()
        if node.type == EXTERNAL and node.inputs != before[node.urn].inputs
    }
    assert changed == {"oidc-gitea", "authentik-blueprints"}


def test_a_blueprint_of_a_later_phase_does_not_hold_up_the_pods(graph: Graph) -> None:
    [volume] = graph[AUTHENTIK].inputs["values"]["worker"]["volumes"]
    sources = [source["secret"] for source in volume["projected"]["sources"]]
    assert [(source["name"], source["optional"]) for source in sources] == [
        ("authentik-blueprints", True),
        ("oidc-vault", True),
    ]


def test_workers_restart_for_every_secret_that_they_read(graph: Graph) -> None:
    values = graph[AUTHENTIK].inputs["values"]
    reloaded = set(values["worker"]["deploymentAnnotations"]["secret.reloader.stakater.com/reload"].split(","))
    variables = {
        entry["valueFrom"]["secretKeyRef"]["name"] for entry in values["global"]["env"] if "valueFrom" in entry
    }
    assert reloaded == variables | {"authentik-blueprints", "oidc-vault"}


def test_no_secret_stands_in_authentiks_values(graph: Graph) -> None:
    values = graph[AUTHENTIK].inputs["values"]
    assert not values["authentik"]["enabled"]
    secret = {entry["name"] for entry in values["global"]["env"] if "valueFrom" in entry}
    assert secret == {
        "AUTHENTIK_SECRET_KEY",
        "AUTHENTIK_BOOTSTRAP_PASSWORD",
        "AUTHENTIK_BOOTSTRAP_TOKEN",
        "AUTHENTIK_POSTGRESQL__PASSWORD",
    }


def test_authentik_is_told_the_address_at_which_people_find_it(graph: Graph) -> None:
    told = {entry["name"]: entry.get("value") for entry in graph[AUTHENTIK].inputs["values"]["global"]["env"]}
    assert told["AUTHENTIK_WEB__BASE_URL"] == f"https://{sso.authority(domain(graph))}"


def test_the_database_is_not_a_copy_of_bitnami(graph: Graph) -> None:
    assert graph[AUTHENTIK].inputs["values"]["postgresql"] == {"enabled": False}
    assert graph[CLUSTER].inputs["spec"]["imageName"].startswith("ghcr.io/cloudnative-pg/postgresql:")


@pytest.mark.parametrize(("nodes", "expected"), [("two", 2), ("one", 1)])
def test_what_runs_twice_does_so_where_two_nodes_hold_it(nodes: str, expected: int) -> None:
    def change(raw: dict[str, Any]) -> None:
        if nodes == "one":
            del raw["nodes"]["worker-1"]

    graph = recorded("prod", change=change)
    values = graph[AUTHENTIK].inputs["values"]
    assert [values[kind]["replicas"] for kind in ("server", "worker")] == [expected, expected]
    spec = graph[CLUSTER].inputs["spec"]
    # A budget for a single server would never let its node be drained.
    assert (spec["instances"], spec["enablePDB"]) == (expected, expected > 1)


@pytest.mark.parametrize("folder", manifests(), ids=lambda folder: folder.name)
def test_nothing_that_is_given_to_kubernetes_as_text_speaks_to_vault(folder: Path) -> None:
    assert [str(finding) for finding in file_findings(folder)] == []
