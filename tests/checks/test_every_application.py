"""Every application of the tree as if all were switched on: the line that is not there yet leads to nothing broken."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import GITOPS, OFF, documents, releases
from checks.model.objects import Object, mapping
from checks.model.platform import Platform
from checks.program import ROOT
from checks.rules.capacity import amount, quantity
from components.kit.namespace import PodSecurity
from stacks.applications import APPLICATIONS
from tests.checks.platforms import findings

NO_IMAGE = "sha256:" + 64 * "0"
"""Stands for the digest of an image that somebody has to build first."""


def off() -> list[str]:
    """The folders of applications that are switched off."""
    return [file.partition("/")[0] for file in OFF.findall((GITOPS / "kustomization.yaml").read_text())]


def test_nothing_would_fail_with_every_application_switched_on(everything: Platform) -> None:
    """Nor would anything be too large for the plan's nodes."""
    found = findings(everything)
    assert [f"{one.rule}: {one.object} {one.field} {one.problem}" for one in found] == []


def test_every_application_of_the_tree_was_there(everything: Platform) -> None:
    assert everything.tree is not None
    reached = {one.path.removeprefix("./").split("/")[1] for one in everything.tree.kustomizations if one.parent}
    assert reached == {path.parent.name for path in GITOPS.glob("*/flux.yaml")}
    assert set(off()) <= reached


def test_what_is_off_is_ignored_with_a_reason() -> None:
    lines = (GITOPS / ".checkignore").read_text().splitlines()
    ignored = dict(line.split("  # ", 1) for line in lines)
    assert sorted(ignored) == sorted(f"{name}/flux.yaml" for name in off())
    assert all(reason.startswith("off: ") for reason in ignored.values())


def of_charts(everything: Platform) -> list[Any]:
    """The pods of the applications' releases, as far as it is known what their charts make."""
    namespaces = {row.namespace for row in APPLICATIONS}
    return [one for one in everything.pods if one.of.namespace in namespaces and one.of.release is not None]


def test_every_application_of_our_own_chart_has_pods_whose_level_is_looked_at(everything: Platform) -> None:
    own = {one.namespace for one in releases() if one.path == ROOT / "charts" / "app"}
    assert own
    assert own <= {one.of.namespace for one in of_charts(everything)}


LEVELS: dict[str, PodSecurity] = {
    # Its image works as root alone.
    "inventree": "baseline",
    # It sees the host's processes, network and file systems.
    "node-exporter": "privileged",
}
"""Of those that cannot be restricted."""


@pytest.mark.parametrize("row", APPLICATIONS, ids=lambda row: row.namespace)
def test_an_application_is_restricted_unless_its_image_forbids_it(row: Any) -> None:
    assert row.security == LEVELS.get(row.namespace, "restricted")


def test_every_container_says_what_it_asks_for_and_is_asked_whether_it_is_well(everything: Platform) -> None:
    for one in of_charts(everything):
        assert one.of.kind == "CronJob" or any(
            "readinessProbe" in container for path, container in one.containers() if ".initContainers" not in path
        ), one.of
        for path, container in one.containers():
            asked = mapping(mapping(container.get("resources")).get("requests"))
            assert quantity(asked.get("memory")) > 0, f"{one.of} {path}"


def test_a_namespace_has_room_for_all_that_runs_in_it(everything: Platform) -> None:
    for row in APPLICATIONS:
        limits = sum(
            quantity(mapping(mapping(container.get("resources")).get("limits")).get("memory")) * one.replicas
            for one in of_charts(everything)
            if one.of.namespace == row.namespace
            for path, container in one.containers()
            if ".initContainers" not in path
        )
        claimed = sum(
            quantity(mapping(mapping(claim.spec.get("resources")).get("requests")).get("storage"))
            for claim in everything.of_kind("", "PersistentVolumeClaim")
            if claim.namespace == row.namespace
        )
        cpu = sum(amount(one, "cpu", 1) for one in of_charts(everything) if one.of.namespace == row.namespace)
        assert limits <= quantity(row.quota.memory), row.namespace
        assert claimed <= quantity(row.quota.storage), row.namespace
        assert cpu <= quantity(row.quota.cpu), row.namespace


def test_no_object_is_called_as_bazels_cache_may_not_be(everything: Platform) -> None:
    """Kubernetes would make of a Service's name a variable that the program takes for its own setting."""
    assert [thing for thing in everything.objects if "bazel-remote" in thing.name] == []


def test_an_image_that_nobody_has_built_is_of_an_application_that_is_off() -> None:
    without = {
        file.relative_to(GITOPS).parts[0]
        for file, document in documents(GITOPS)
        if NO_IMAGE in yaml.safe_dump(document)
    }
    assert without == {"activitywatch"}
    assert without <= set(off())


def selected(everything: Platform, release: str) -> list[Object]:
    """The NetworkPolicies about the pods of a release of our chart in its namespace."""
    [pods] = [one for one in of_charts(everything) if one.of.release is not None and one.of.release.name == release]

    def chosen(policy: Object) -> bool:
        selector = mapping(policy.spec.get("podSelector"))
        wanted = mapping(selector.get("matchLabels"))
        listed = all(
            rule["operator"] == "In" and pods.labels.get(rule["key"]) in rule["values"]
            for rule in selector.get("matchExpressions", [])
        )
        return policy.namespace == pods.of.namespace and wanted.items() <= pods.labels.items() and listed

    return [policy for policy in everything.of_kind("networking.k8s.io", "NetworkPolicy") if chosen(policy)]


def may_call(everything: Platform, release: str, address: str) -> bool:
    """Whether the pods of a release may call an address outside the cluster's own selectors."""
    asked = ipaddress.ip_address(address)
    policies = [policy for policy in selected(everything, release) if "Egress" in policy.spec["policyTypes"]]
    assert policies, release
    return any(
        not rule.get("to")
        or any(
            "ipBlock" in peer
            and asked in ipaddress.ip_network(peer["ipBlock"]["cidr"])
            and not any(asked in ipaddress.ip_network(inner) for inner in peer["ipBlock"].get("except", []))
            for peer in rule["to"]
        )
        for policy in policies
        for rule in policy.spec.get("egress") or []
    )


def inside(everything: Platform) -> dict[str, str]:
    """An address of each kind that only this site has."""
    network = everything.settings["network"]
    nodes = everything.settings["nodes"]
    return {
        "a pod": str(ipaddress.ip_network(network.get("podCidr", "10.244.0.0/16"))[10]),
        "a Service": str(ipaddress.ip_network(network.get("serviceCidr", "10.96.0.0/12"))[10]),
        "a neighbour": str(ipaddress.ip_network(network["subnet"])[200]),
        **{name: node["address"] for name, node in nodes.items()},
        "the API server": network["apiVip"],
        "metadata": "169.254.169.254",
        "a VPN": "100.64.0.3",
        "a router": "192.168.1.1",
    }


@pytest.mark.parametrize("release", ["firecrawl", "firecrawl-browser"])
def test_what_fetches_for_firecrawl_reaches_the_internet_and_nothing_of_this_site(
    everything: Platform, release: str
) -> None:
    assert all(may_call(everything, release, address) for address in ("198.51.100.7", "8.8.8.8"))
    assert [name for name, address in inside(everything).items() if may_call(everything, release, address)] == []


@pytest.mark.parametrize("release", ["firecrawl-mcp", "firecrawl-stores"])
def test_the_rest_of_firecrawl_reaches_nobody_outside(everything: Platform, release: str) -> None:
    pods = [one for one in of_charts(everything) if one.of.release is not None and one.of.release.name == release]
    assert pods
    for one in pods:
        wide = [
            policy
            for policy in everything.of_kind("networking.k8s.io", "NetworkPolicy")
            if policy.namespace == "firecrawl"
            and mapping(mapping(policy.spec.get("podSelector")).get("matchLabels")).items() <= one.labels.items()
            and all(
                one.labels.get(rule["key"]) in rule["values"]
                for rule in mapping(policy.spec.get("podSelector")).get("matchExpressions", [])
            )
            and any("ipBlock" in str(rule) or not rule.get("to") for rule in policy.spec.get("egress") or [])
        ]
        assert wide == []


@pytest.mark.parametrize(
    ("folder", "secret"), [("build-cache", "build-cache-users"), ("firecrawl/mcp", "firecrawl-users")]
)
def test_a_host_without_a_sign_on_of_its_own_wants_a_password(everything: Platform, folder: str, secret: str) -> None:
    namespace = folder.partition("/")[0]
    [ingress] = [one for one in everything.of_kind("networking.k8s.io", "Ingress") if one.namespace == namespace]
    assert ingress.annotations["nginx.org/basic-auth-secret"] == secret


def test_the_page_of_syncthing_is_open_to_its_own_pod_alone(everything: Platform) -> None:
    [one] = [one for one in of_charts(everything) if one.of.namespace == "syncthing"]
    [(_, container)] = one.containers()
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables["STGUIADDRESS"] == "127.0.0.1:8384"


def test_no_program_in_a_config_map_has_what_flux_would_take_for_a_variable() -> None:
    for name in ("drive-sync/sync.sh", "webhook-inbox/inbox.py"):
        assert "${" not in (GITOPS / name).read_text(), name
    assert set(re.findall(r"\$\{\w+\}", Path(GITOPS / "inventree/nginx.conf").read_text())) == {"${domain}"}
