"""The hand-over in the recorded graph of the real program."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from checks.graph import Graph, Secret, reveal
from checks.program import PLANTED, recorded
from components.gitops import defaults
from components.gitops.git_source_command import PLAN, Plan
from tests.graph.test_conventions import graph_of

ROOT = "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization applications"
SOURCE = "kubernetes:source.toolkit.fluxcd.io/v1:GitRepository applications-source"
INSTANCE = "kubernetes:fluxcd.controlplane.io/v1:FluxInstance flux"
OPERATOR = "kubernetes:helm.sh/v3:Release flux-operator"
KEY = "kubernetes:core/v1:Secret applications-key"
TOKEN = "kubernetes:core/v1:Secret receiver-secret"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return graph_of("prod", known=True)


def patched(kind: str, **labels: str) -> dict[str, Any]:
    """What the patches of the root Kustomization set in the spec of an object with these labels."""
    found: dict[str, Any] = {}
    for patch in defaults.patches("https://charts.example.org"):
        selector = patch["target"].get("labelSelector", "")
        label, _, unwanted = selector.partition("!=")
        if patch["target"]["kind"] == kind and (not label or labels.get(label) != unwanted):
            found |= yaml.safe_load(patch["patch"])["spec"]
    return found


@pytest.mark.parametrize(("one", "outlives"), [(ROOT, SOURCE), (SOURCE, INSTANCE), (INSTANCE, OPERATOR)])
def test_each_object_goes_before_what_it_needs_to_go(graph: Graph, one: str, outlives: str) -> None:
    assert graph.depends(one, outlives)


@pytest.mark.parametrize(
    "first",
    [
        "kubernetes:storage.k8s.io/v1:StorageClass proxmox",
        "kubernetes:dns.cav.enablers.ob/v1alpha2:ClusterZone dns-zone",
        "kubernetes:helm.sh/v3:Release nginx-ingress",
        "kubernetes:helm.sh/v3:Release authentik",
        # Without the variables the first build fails; without the border and its namespace an application is early.
        "kubernetes:core/v1:ConfigMap applications-settings",
        "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicyBinding border-binding",
        "kubernetes:core/v1:ResourceQuota gitea-quota",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy gitea-closed",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy gitea-database-calls",
    ],
)
def test_applications_come_after(graph: Graph, first: str) -> None:
    assert graph.depends(ROOT, first, transitive=True)


def test_what_fails_at_first_is_tried_again_while_an_up_still_waits(graph: Graph) -> None:
    spec, awaited = graph[ROOT].inputs["spec"], graph[ROOT].option("customTimeouts").create
    again = spec.get("retryInterval", spec["interval"])
    assert 3 * int(again.removesuffix("m")) < int(awaited.removesuffix("m"))


def test_what_flux_made_stays_when_the_root_is_deleted(graph: Graph) -> None:
    spec = graph[ROOT].inputs["spec"]
    assert (spec["deletionPolicy"], spec["prune"]) == ("Orphan", True)


def test_what_is_taken_out_of_git_goes_in_every_application() -> None:
    """The default replaces what a file says; left running, it would have a host name, a volume and rights for ever."""
    assert patched("Kustomization")["prune"] is True


def test_a_release_that_fails_is_taken_back_and_tried_again() -> None:
    """Fields: https://fluxcd.io/flux/components/helm/helmreleases/#upgrade-configuration"""
    release = yaml.safe_load(patched("Kustomization")["patches"][0]["patch"])["spec"]
    assert release["install"]["strategy"] == {"name": "RetryOnFailure"}
    assert release["upgrade"]["strategy"] == {"name": "RemediateOnFailure"}
    assert release["upgrade"]["remediation"]["retries"] > 0
    assert release["upgrade"]["remediation"]["remediateLastFailure"] is True
    # Helm itself installs definitions once, and never changes them.
    assert {release[step]["crds"] for step in ("install", "upgrade")} == {"CreateReplace"}


def test_an_up_waits_for_no_application(graph: Graph) -> None:
    assert not graph[ROOT].inputs["spec"].get("wait", False)


def test_the_operator_of_flux_brings_the_kind_of_its_instance(graph: Graph) -> None:
    # No Job and no other release does: `ready` of the release is all that the instance waits for.
    assert reveal(graph["kubernetes:helm.sh/v3:Release flux-operator"].inputs["values"])["installCRDs"] is True


def test_flux_is_of_one_exact_release(graph: Graph) -> None:
    spec = graph[INSTANCE].inputs["spec"]
    assert spec["distribution"]["version"].replace(".", "").isdigit()
    assert "sync" not in spec


def flags(graph: Graph, controller: str) -> list[str]:
    """What a controller of Flux is told beyond its defaults."""
    patches = graph[INSTANCE].inputs["spec"]["kustomize"]["patches"]
    [patch] = [one["patch"] for one in patches if one["target"] == {"kind": "Deployment", "name": controller}]
    return [one["value"] for one in yaml.safe_load(patch)]


def test_a_variable_that_nobody_defines_is_an_error_and_no_empty_text(graph: Graph) -> None:
    """Empty, it would be a host name without its domain, or a claim of no class: docs/src of kustomize-controller."""
    [gates] = [flag for flag in flags(graph, "kustomize-controller") if flag.startswith("--feature-gates=")]
    assert "StrictPostBuildSubstitutions=true" in gates.partition("=")[2].split(",")


def test_what_is_applied_is_in_the_repository_that_is_read(graph: Graph) -> None:
    assert "--no-remote-bases=true" in flags(graph, "kustomize-controller")


@pytest.mark.parametrize("controller", ["kustomize-controller", "helm-controller"])
def test_a_changed_secret_reaches_what_refers_to_it_at_once(graph: Graph, controller: str) -> None:
    """A rotated client secret is in values of a release; Helm's own records, which it is not to watch, are many."""
    assert "--watch-configs-label-selector=owner!=helm" in flags(graph, controller)


def test_what_is_the_programs_is_refused_to_flux_and_not_only_warned_of(graph: Graph) -> None:
    """tests/servers/test_border.py has the expressions before a real API server."""
    kind = "kubernetes:admissionregistration.k8s.io/v1:ValidatingAdmissionPolicy"
    binding, policy = graph[f"{kind}Binding border-binding"].inputs["spec"], graph[f"{kind} border"].inputs
    assert binding["validationActions"] == ["Deny"]
    assert binding["policyName"] == policy["metadata"]["name"]
    # `Ignore` would let everything pass whose expression fails.
    assert policy["spec"]["failurePolicy"] == "Fail"
    [condition] = policy["spec"]["matchConditions"]
    for controller in ("kustomize-controller", "helm-controller"):
        assert f"system:serviceaccount:flux-system:{controller}" in condition["expression"]


def test_who_tells_flux_of_a_push_proves_that_they_have_the_token(graph: Graph) -> None:
    """Type `generic` compares nothing but the path: https://fluxcd.io/flux/components/notification/receivers/."""
    spec = graph["kubernetes:notification.toolkit.fluxcd.io/v1:Receiver receiver"].inputs["spec"]
    assert spec["type"] in ("github", "generic-hmac")
    secret = graph["kubernetes:core/v1:Secret receiver-secret"].inputs["metadata"]
    assert spec["secretRef"]["name"] == secret["name"]


def test_the_repository_is_read_with_the_key_of_the_configuration(graph: Graph) -> None:
    given = base64.b64encode(PLANTED["homelab:gitDeployKey"].encode()).decode()
    data = graph[KEY].inputs["data"]
    assert isinstance(data, Secret) or isinstance(data["identity"], Secret)
    assert reveal(data)["identity"] == given
    assert graph[SOURCE].inputs["spec"]["secretRef"]["name"] == graph[KEY].inputs["metadata"]["name"]


def test_a_server_at_another_port_is_known_by_name_and_port() -> None:
    data = reveal(graph_of("lab", known=True)[KEY].inputs["data"])
    assert base64.b64decode(data["known_hosts"]).decode().startswith("[127.20.0.13]:2223 ssh-ed25519 ")


def test_a_public_repository_is_read_without_a_key() -> None:
    def public(settings: dict[str, Any]) -> None:
        settings["gitops"] = {"seed": "https://git.example.org/homelab.git"}

    graph = recorded("prod", change=public)
    assert "secretRef" not in graph[SOURCE].inputs["spec"]
    assert KEY not in graph


def test_without_a_repository_there_is_no_flux_and_applications_keep_their_namespaces() -> None:
    def off(settings: dict[str, Any]) -> None:
        del settings["gitops"]

    left = {
        node.type
        for node in recorded("prod", change=off).nodes.values()
        if ":gitops:" in node.type or "flux" in node.type
    }
    assert left == {"homelab:gitops:ApplicationNamespace", "homelab:gitops:Border"}


def test_applications_know_these_variables(graph: Graph) -> None:
    [settings] = [node for node in graph.nodes.values() if node.name == "applications-settings"]
    assert settings.inputs["metadata"]["name"] == defaults.SETTINGS
    assert settings.inputs["data"] == {
        "stack": "prod",
        "domain": "test-cluster.agentydragon.com",
        "ingress_address": "10.0.3.2",
        "ingress_class": "nginx",
        "ingress_namespace": "nginx-ingress",
        "services_pool": "services-pool",
        "dns_pool": "dns-pool",
        "storage_class": "proxmox",
        "cluster_issuer": "letsencrypt-prod-dns",
        "sign_on_url": "https://auth.test-cluster.agentydragon.com/",
        "sign_on_namespace": "authentik",
        "service_subnet": "10.96.0.0/12",
        "pod_subnet": "10.244.0.0/16",
        "name_server_address": "10.0.3.3",
        "secondary_address": "100.64.0.3",
        "sealing_key": "sealed-secrets-key",
        "seed_port": "22",
    }


def test_an_application_gets_the_variables_unless_it_says_otherwise() -> None:
    assert patched("Kustomization")["postBuild"]["substituteFrom"] == [{"kind": "ConfigMap", "name": defaults.SETTINGS}]
    assert "postBuild" not in patched("Kustomization", **{defaults.WITHOUT_VARIABLES: "disabled"})


def test_an_application_gets_the_defaults_unless_it_says_otherwise() -> None:
    assert patched("Kustomization")["retryInterval"] == "1m"
    assert "retryInterval" not in patched("Kustomization", **{defaults.WITHOUT_DEFAULTS: "disabled"})


def test_a_kustomization_waits_longer_than_a_release_in_it() -> None:
    inner = patched("Kustomization")["patches"]
    [release] = [yaml.safe_load(one["patch"])["spec"] for one in inner if one["target"]["kind"] == "HelmRelease"]
    assert int(patched("Kustomization")["timeout"][:-1]) > int(release["timeout"][:-1])


def test_a_mirror_takes_the_place_of_every_chart_repository() -> None:
    inner = patched("Kustomization")["patches"]
    [mirrored] = [yaml.safe_load(one["patch"])["spec"] for one in inner if one["target"]["kind"] == "HelmRepository"]
    assert mirrored == {"url": "https://charts.example.org", "type": "default"}


def test_a_mirror_on_the_machine_that_runs_pulumi_is_none_for_the_cluster() -> None:
    assert all(
        "HelmRepository" not in yaml.safe_dump(patch)
        for patch in graph_of("prod", known=True)[ROOT].inputs["spec"]["patches"]
    )


def test_a_webhook_is_signed_with_a_generated_token(graph: Graph) -> None:
    [generated] = graph.of_type("random:index/randomPassword:RandomPassword")
    assert generated.inputs["length"] >= 32
    assert graph.depends(TOKEN, "random:index/randomPassword:RandomPassword receiver-token")


def from_the_clusters_own(settings: dict[str, Any]) -> None:
    settings["gitops"]["source"] = "self"


def test_the_clusters_own_server_takes_over_after_a_comparison() -> None:
    graph = recorded("prod", change=from_the_clusters_own)
    assert graph.depends(SOURCE, "command:local:Command git-source", via="spec")


def test_what_is_compared_is_what_flux_reads() -> None:
    graph = recorded("prod", change=from_the_clusters_own)
    node = graph["command:local:Command git-source"]
    plan = Plan.loads(reveal(node.inputs["environment"])[PLAN])
    candidate = graph["kubernetes:source.toolkit.fluxcd.io/v1:GitRepository git-source-own"]
    assert plan.candidate == candidate.inputs["metadata"]["name"]
    assert plan.own == candidate.inputs["spec"]["url"]
    assert plan.repository == graph[SOURCE].inputs["metadata"]["name"]
    assert graph.depends("command:local:Command git-source", candidate.urn)


def test_at_the_seed_nothing_is_compared(graph: Graph) -> None:
    assert "command:local:Command git-source" not in graph
