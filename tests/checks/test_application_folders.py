"""Each application's folder has all that every application here must have, with those that are switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import GITOPS, documents
from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.model.pods import Pods
from stacks import sso
from stacks.application_secrets import SECRETS
from stacks.applications import APPLICATIONS

NAMESPACES = {row.namespace for row in APPLICATIONS}
BACKUP = "homelab/backup"

NOT_BACKED_UP = {
    "StatefulSet harbor/harbor-redis": "sessions and queues: people sign on again, and jobs are started again",
    "StatefulSet traces/tempo": "traces describe the past",
}
"""StatefulSets whose chart has no value for labels of their claims. A patch of a claim template would stop the upgrade
of a release that is there, as Kubernetes does not change these."""

_EXACT = re.compile(r"v?\d+\.\d+\.\d+\S*|\d+\.\d+-\S*trixie")
"""A tag of one build. CloudNativePG's begin with the version of PostgreSQL, which has two numbers."""

OWN_SIGN_ON = {
    "mcp-github": "each client sends its own token of GitHub with each request",
    "webhook-inbox": "its program asks for the reader's password, as scripts read it too",
    "activitywatch": "its server takes requests with its key alone",
    "matrix-synapse": "it takes tokens of the authentication service alone, at which people sign on by Authentik",
    "matrix-well-known": "it says where the server is, to everybody",
}
"""By Ingress, why neither Authentik nor the ingress controller asks who somebody is."""

ADDRESSES = {
    "gitea-ssh": "a person's own key",
    "syncthing": "the certificates of devices that know each other",
}
"""By Service with an address of its own, what lets somebody in there."""

WITHOUT_LIVENESS = {
    "alloy": "its chart asks it for none; a collector that hangs has no figures, which Prometheus notices",
}
"""By workload, why Kubernetes does not restart it when it hangs."""

WITHOUT_POLICY = {
    "monitoring-prometheus-node-exporter": "it is on the host's network, which no policy is about",
}
"""By workload, why no policy beside it says who reaches it."""

SILENT = {
    "CronJob": "it ends by itself",
}
"""By kind of workload, why nothing asks it whether it is well."""


def pods(platform: Platform) -> list[Pods]:
    """The pods in the applications' namespaces."""
    return [one for one in platform.pods if one.of.namespace in NAMESPACES]


def postrendered(kind: str, name: str) -> str:
    """What HelmReleases change in an object that their chart makes, as text: the records have it as the chart does."""
    return "\n".join(
        patch["patch"]
        for _, document in documents(GITOPS)
        for renderer in items(mapping(document.get("spec")).get("postRenderers"))
        for patch in items(mapping(renderer.get("kustomize")).get("patches"))
        if (patch["target"]["kind"], patch["target"]["name"]) == (kind, name)
    )


def retagged(image: str) -> str:
    """An image as HelmReleases name it anew."""
    for _, document in documents(GITOPS):
        for renderer in items(mapping(document.get("spec")).get("postRenderers")):
            for one in items(mapping(renderer.get("kustomize")).get("images")):
                if image.rpartition(":")[0] == one["name"]:
                    return f"{one['name']}:{one['newTag']}"
    return image


def test_every_image_is_one_version_of_one_program(everything: Platform) -> None:
    used = {container["image"] for one in pods(everything) for _, container in one.containers()}
    used |= {cluster.spec["imageName"] for cluster in everything.of_kind("postgresql.cnpg.io", "Cluster")}
    loose = []
    for image in map(retagged, used):
        reference, _, digest = image.partition("@")
        tag = reference.rpartition("/")[2].partition(":")[2]
        if not digest and not _EXACT.fullmatch(tag):
            loose.append(image)
    assert loose == []


def test_an_image_of_our_own_chart_is_fixed_by_its_digest(everything: Platform) -> None:
    ours = [one for one in pods(everything) if one.of.release is not None and one.of.release.own]
    assert ours
    assert [
        str(one.of) for one in ours for _, container in one.containers() if "@sha256:" not in container["image"]
    ] == []


WITHOUT_TAG = {
    "ghcr.io/firecrawl/nuq-postgres": "published as latest alone",
    "ghcr.io/firecrawl/playwright-service": "published as latest alone",
    "docker.io/mcp/firecrawl": "published as latest alone",
}
"""Images of our own chart of which the digest says everything, as their publisher names no version."""

WITHOUT_DIGEST = {
    "ghcr.io/cloudnative-pg/postgresql": "its publisher makes each tag anew when Debian mends something",
    "docker.gitea.com/gitea": "the tag of the chart's image, in the form with SSH",
    "ghcr.io/open-telemetry/opentelemetry-collector-releases/opentelemetry-collector-k8s": "the tag of the operator's",
}
"""Images that the tree names outside of charts by their tag alone; docs/adding-an-app.md says how to fix one."""


def _parts(image: str) -> tuple[str, str, str]:
    """Name, tag and digest."""
    reference, _, digest = image.partition("@")
    name, _, tag = reference.rpartition(":")
    return (name, tag, digest) if name and "/" not in tag else (reference, "", digest)


def test_an_image_of_our_own_chart_has_a_version_besides_or_its_publisher_names_none(everything: Platform) -> None:
    images = {
        _parts(container["image"])
        for one in pods(everything)
        if one.of.release is not None and one.of.release.own
        for _, container in one.containers()
    }
    assert {name for name, tag, _ in images if not tag} == set(WITHOUT_TAG)


def test_every_other_image_that_the_tree_names_has_a_digest_or_a_reason(everything: Platform) -> None:
    """Those of charts of others are as exact as the chart's version, which their publisher does not change."""
    named = {
        container["image"] for one in pods(everything) if one.of.release is None for _, container in one.containers()
    }
    named |= {cluster.spec["imageName"] for cluster in everything.of_kind("postgresql.cnpg.io", "Cluster")}
    assert {name for name, _, digest in map(_parts, named) if not digest} == set(WITHOUT_DIGEST)


def test_every_container_has_requests_and_a_limit_of_memory(everything: Platform) -> None:
    for one in pods(everything):
        for path, container in one.containers():
            said = mapping(container.get("resources"))
            assert {"cpu", "memory"} <= mapping(said.get("requests")).keys(), f"{one.of} {path}"
            assert "memory" in mapping(said.get("limits")), f"{one.of} {path}"


@pytest.mark.parametrize(
    "file",
    [file for file in GITOPS.rglob("*.yaml") if "requests: {cpu" in file.read_text()],
    ids=lambda file: str(file.relative_to(GITOPS)),
)
def test_a_comment_above_what_a_program_asks_for_says_why_it_is_that_much(file: Path) -> None:
    assert re.search(r"#[^\n]*\n\s*(?:resources:(?: &\w+)?\n\s*)?requests: \{cpu", file.read_text())


def test_every_workload_is_asked_whether_it_is_ready_and_whether_it_is_alive(everything: Platform) -> None:
    for one in pods(everything):
        if one.of.kind in SILENT:
            continue
        main = [container for path, container in one.containers() if ".initContainers" not in path]
        assert any("readinessProbe" in container for container in main), one.of
        alive = any("livenessProbe" in container for container in main)
        assert alive != (one.of.name in WITHOUT_LIVENESS), one.of


def test_every_pod_has_a_network_policy_of_its_application(everything: Platform) -> None:
    """The program's alone close the namespace and open nothing but names."""
    own = [
        policy
        for policy in everything.of_kind("networking.k8s.io", "NetworkPolicy")
        if policy.namespace in NAMESPACES and policy.manager.system != "pulumi"
    ]
    without = {one.of.name for one in pods(everything) if not any(_about(policy, one) for policy in own)}
    assert without == set(WITHOUT_POLICY)


def _about(policy: Object, one: Pods) -> bool:
    selector = mapping(policy.spec.get("podSelector"))
    listed = all(
        one.labels.get(each["key"]) in each.get("values", [one.labels.get(each["key"])])
        for each in items(selector.get("matchExpressions"))
    )
    wanted = mapping(selector.get("matchLabels"))
    return policy.namespace == one.of.namespace and wanted.items() <= one.labels.items() and listed


def claims(platform: Platform) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every claim in the applications' namespaces: whose it is, its content, and what else may label it."""
    for claim in platform.of_kind("", "PersistentVolumeClaim"):
        if claim.namespace in NAMESPACES:
            # A record has no labels of a claim; a chart with this one has a value for them.
            values = yaml.safe_dump(claim.release.values) if claim.release and claim.release.name == "gitea" else ""
            yield str(claim), claim.content, postrendered(claim.kind, claim.name) + values
    for one in pods(platform):
        for template in items(one.of.spec.get("volumeClaimTemplates")):
            if str(one.of) in NOT_BACKED_UP:
                continue
            yield f"{one.of} {template['metadata']['name']}", template, postrendered(one.of.kind, one.of.name)
    for kind in ("Prometheus", "Alertmanager"):
        for made in platform.of_kind("monitoring.coreos.com", kind):
            yield str(made), mapping(made.get("spec", "storage", "volumeClaimTemplate")), ""


def test_every_claim_names_its_class_and_whether_it_is_backed_up(everything: Platform) -> None:
    found = list(claims(everything))
    assert found
    for whose, claim, elsewhere in found:
        assert claim["spec"].get("storageClassName"), whose
        labels = mapping(claim["metadata"].get("labels"))
        assert BACKUP in labels or re.search(r"homelab(/|~1)backup", elsewhere), whose


WITHOUT_BACKUP = {
    "build-cache": "each build fills it again",
    "monitoring": "figures describe the past, and alerts are sent again",
    "logs": "logs describe the past",
}
"""By namespace, why what its volumes hold may be lost."""


def test_nothing_that_people_would_miss_is_left_out_of_the_backup(everything: Platform) -> None:
    left_out = re.compile(r"homelab(/|~1)backup\W+false")
    found = {
        whose.split()[1].partition("/")[0]
        for whose, claim, elsewhere in claims(everything)
        if left_out.search(f"{yaml.safe_dump(mapping(claim['metadata'].get('labels')))}\n{elsewhere}")
    }
    assert found == set(WITHOUT_BACKUP)


RESTARTED = ("Deployment", "StatefulSet", "DaemonSet")
"""Kinds that Reloader restarts."""


def test_a_workload_restarts_for_each_secret_that_a_restart_renews(everything: Platform) -> None:
    """Else a rotation leaves it with the former value, and the other side no longer knows that."""
    renewed = {
        (namespace, name)
        for name, row in SECRETS.items()
        if row.uptake == "restart"
        for namespace in (row.spec.namespace, *row.also_in)
    }
    read = {
        (thing, need.name)
        for thing, need in everything.needs
        if thing.kind in RESTARTED
        and thing.namespace in NAMESPACES
        and thing.manager.system != "operator"
        and need.kind == "Secret"
        and (thing.namespace, need.name) in renewed
    }
    assert {thing.name for thing, _ in read} >= {"gitea", "harbor-core", "harbor-jobservice", "webhook-inbox"}
    told = {
        thing: re.split(r"[\s,:]+", f"{yaml.safe_dump(thing.annotations)}\n{postrendered(thing.kind, thing.name)}")
        for thing, _ in read
    }
    assert sorted(f"{thing} reads {name}" for thing, name in read if name not in told[thing]) == []


def test_every_database_of_an_application_is_backed_up(everything: Platform) -> None:
    databases = [one for one in everything.of_kind("postgresql.cnpg.io", "Cluster") if one.namespace in NAMESPACES]
    assert {one.name for one in databases} == {row.database for row in APPLICATIONS if row.database}
    assert {one.name: one.labels.get(BACKUP) for one in databases} == {one.name: "true" for one in databases}


def test_every_application_that_has_an_address_asks_who_somebody_is_or_says_why_not(everything: Platform) -> None:
    domain = everything.settings["cluster"]["domain"]
    known = set(sso.hosts(domain))
    unasked = {
        ingress.name
        for ingress in everything.of_kind("networking.k8s.io", "Ingress")
        if ingress.namespace in NAMESPACES
        and "nginx.org/basic-auth-secret" not in ingress.annotations
        and not {rule["host"] for rule in items(ingress.spec.get("rules"))} <= known
    }
    assert unasked == set(OWN_SIGN_ON)


def test_every_other_door_says_what_opens_it(everything: Platform) -> None:
    doors = {
        service.name
        for service in everything.of_kind("", "Service")
        if service.namespace in NAMESPACES and service.spec.get("type") in ("LoadBalancer", "NodePort")
    }
    assert doors == set(ADDRESSES)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in GITOPS.glob("*/flux.yaml")))
def test_every_folder_runs_in_namespaces_that_have_a_level_and_a_quota(folder: str) -> None:
    used = {yaml.safe_load(file.read_text()).get("namespace") for file in (GITOPS / folder).rglob("kustomization.yaml")}
    assert used
    assert used <= NAMESPACES
