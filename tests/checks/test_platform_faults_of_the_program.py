"""Faults in what the program declares: each is found, with its object, its field and the counterpart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checks.model.objects import Manager, Object
from checks.model.platform import Platform
from tests.checks.platforms import Change, edited, findings, object_of, platform, release_of

SOLVER = ("spec", "acme", "solvers", 0, "dns01", "webhook")


def at(kind: str, name: str, *path: str | int, value: Any) -> Change:
    """A change that sets a value in a declared object."""

    def change(made: Platform) -> None:
        inside: Any = object_of(made, kind, name).content
        for part in path[:-1]:
            inside = inside[part]
        inside[path[-1]] = value

    return change


def without(kind: str, name: str) -> Change:
    """A change that takes an object away."""
    return lambda made: made.objects.remove(object_of(made, kind, name))


def no_order(kind: str, name: str, *earlier: str) -> Change:
    """A change that makes an object wait for nothing whose event holds one of these words."""

    def change(made: Platform) -> None:
        step = object_of(made, kind, name).step
        made.order.edges = [
            edge
            for edge in made.order.edges
            if not (edge.after == step and any(word in edge.before for word in earlier))
        ]

    return change


def unlabelled(name: str) -> Change:
    """A change that takes the labels of a namespace away."""
    return at("Namespace", name, "metadata", "labels", value={})


def late_secret(made: Platform) -> None:
    """The Secret of Authentik's configuration comes after Authentik."""
    step = object_of(made, "ExternalSecret", "authentik-configuration").step
    made.order.add(step, release_of(made, "authentik").step, "depends_on")


def memory(field: str, value: int) -> Change:
    def change(made: Platform) -> None:
        made.machines[0].memory = {**made.machines[0].memory, field: value}

    return change


def settings(*path: str, value: Any) -> Change:
    def change(made: Platform) -> None:
        inside: Any = made.settings
        for part in path[:-1]:
            inside = inside[part]
        inside[path[-1]] = value

    return change


def talos(place: tuple[str, ...], value: Any) -> Change:
    def change(made: Platform) -> None:
        for document in made.talos.patches:
            inside: Any = document
            for part in place[:-1]:
                inside = inside.get(part, {}) if isinstance(inside, dict) else {}
            if isinstance(inside, dict) and place[-1] in inside:
                inside[place[-1]] = value

    return change


def declared(content: dict[str, Any]) -> Change:
    """A change that adds an object of Talos's bootstrap."""
    return lambda made: made.objects.append(
        Object(content, Manager("talos", "bootstrap manifests"), "components/talos/cluster.py", "")
    )


def value_of(release: str, *path: str, value: Any) -> Change:
    def change(made: Platform) -> None:
        inside: Any = release_of(made, release).values
        for part in path[:-1]:
            inside = inside.setdefault(part, {})
        inside[path[-1]] = value

    return change


@dataclass(frozen=True)
class Fault:
    change: Change
    rule: str
    words: tuple[str, ...]


FAULTS: dict[str, Fault] = {
    "a Secret that comes after its consumer": Fault(
        late_secret, "loop", ("Release authentik", "ExternalSecret authentik-configuration", "authentik-configuration")
    ),
    "a key that the API's Secret does not have": Fault(
        at("ClusterIssuer", "letsencrypt-prod-dns", *SOLVER, "config", "apiKeySecretRef", "key", value="api-key"),
        "reference-key",
        ("ClusterIssuer letsencrypt-prod-dns", "apiKeySecretRef", "powerdns-api", "PDNS_API_KEY"),
    ),
    "a group that no webhook registers": Fault(
        at("ClusterIssuer", "letsencrypt-prod-dns", *SOLVER, "groupName", value="acme.example.org"),
        "solver-group",
        ("ClusterIssuer letsencrypt-prod-dns", "groupName", "acme.example.org", "acme.test-cluster"),
    ),
    "a resource without an order to its definition": Fault(
        no_order("IPAddressPool", "services-pool", "metallb", "MetalLb", "AddressPool"),
        "definition-first",
        ("IPAddressPool metallb-system/services-pool", "depends_on", "release metallb-system/metallb"),
    ),
    "a floor above the ceiling": Fault(
        memory("floating", 16384), "vm-memory", ("VM controlplane-0", "memory.floating", "16384", "8192")
    ),
    "too little memory": Fault(memory("dedicated", 64), "vm-memory", ("VM controlplane-0", "memory.dedicated", "64")),
    "a route with host bits": Fault(
        settings("tailscale", "routes", value=["10.0.3.4/28"]),
        "host-bits",
        ("tailscale.routes", "10.0.3.4/28", "10.0.3.0/28"),
    ),
    "a range that ends before it begins": Fault(
        at("IPAddressPool", "services-pool", "spec", "addresses", value=["10.0.3.20-10.0.3.4"]),
        "address-pool",
        ("IPAddressPool metallb-system/services-pool", "10.0.3.20-10.0.3.4"),
    ),
    "a pool outside the nodes' network": Fault(
        at("IPAddressPool", "services-pool", "spec", "addresses", value=["10.9.3.4-10.9.3.20"]),
        "address-pool",
        ("IPAddressPool metallb-system/services-pool", "10.9.3.4-10.9.3.20", "10.0.0.0/16"),
    ),
    "networks that overlap": Fault(
        talos(("cluster", "network", "podSubnets"), ["10.0.128.0/17"]),
        "inner-network",
        ("podSubnets", "10.0.128.0/17", "10.0.0.0/16"),
    ),
    "a pool that an advertisement misspells": Fault(
        at("L2Advertisement", "services-pool", "spec", "ipAddressPools", value=["service-pool"]),
        "reference",
        ("L2Advertisement metallb-system/services-pool", "ipAddressPools[0]", "service-pool", "services-pool"),
    ),
    "speakers in a namespace with the default level": Fault(
        unlabelled("metallb-system"),
        "pod-security",
        ("DaemonSet metallb-system/metallb-speaker", "hostNetwork=true", "no label"),
    ),
    "an account that was taken away": Fault(
        without("ServiceAccount", "vault"), "reference", ("Vault vault/instance", "serviceAccount", "vault/vault")
    ),
    "a store that trusts another root": Fault(
        at("Certificate", "vault-tls", "spec", "issuerRef", value={"kind": "Issuer", "name": "other"}),
        "reference",
        ("Certificate vault/vault-tls", "spec.issuerRef", "other"),
    ),
    "a property that nothing writes": Fault(
        at("ExternalSecret", "oidc-gitea", "spec", "data", 0, "remoteRef", "property", value="clientSecret"),
        "vault-property",
        ("ExternalSecret authentik/oidc-gitea", "remoteRef.property", "clientSecret", "client_secret"),
    ),
    "a cluster DNS of Talos beside our own": Fault(
        declared(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns", "namespace": "kube-system"}}
        ),
        "one-owner",
        ("Deployment kube-system/coredns", "talos", "Release::coredns"),
    ),
    "a cluster-wide subject without its namespace": Fault(
        at(
            "ClusterRoleBinding",
            "vault-auth-delegator",
            "subjects",
            value=[{"kind": "ServiceAccount", "name": "vault"}],
        ),
        "service-account-subject",
        ("ClusterRoleBinding vault-auth-delegator", "subjects[0].namespace"),
    ),
    "an address that no pool has": Fault(
        value_of("powerdns", "service", "annotations", "metallb.io/loadBalancerIPs", value="10.0.3.30"),
        "service-ip",
        ("Service powerdns/", "10.0.3.30"),
    ),
    "a name in place of an address": Fault(
        value_of("powerdns", "transfer", "notify", value=["ns1.example.org"]),
        "chart-render",
        ("release powerdns/powerdns", "transfer"),
    ),
    "a secondary that may not transfer": Fault(
        value_of("powerdns", "transfer", "notify", value=[]),
        "transfer-address",
        ("ConfigMap powerdns/powerdns", "also-notify", "100.64.0.3"),
    ),
    "versions that do not fit": Fault(
        settings("versions", "kubernetes", value="v1.38.0"),
        "compatibility",
        ("versions.kubernetes", "talos v1.13.9", "1.36"),
    ),
    "claims that the datastore cannot hold": Fault(
        settings("site", "hosts", "atlas", "disk", value=530),
        "volume-space",
        ("StorageClass proxmox", "parameters.storage", "local-zfs", "GiB"),
    ),
    "requests that do not fit": Fault(
        settings("nodes", "worker-0", "memory", value=2048), "requests", ("all pods", "memory", "GiB")
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_program_is_found(tmp_path: Path, name: str) -> None:
    fault = FAULTS[name]
    found = findings(platform(tmp_path, change=fault.change))
    said = [f"{one.object} {one.field} {one.problem}" for one in found if one.rule == fault.rule]
    assert any(all(word in text for word in fault.words) for text in said), [f"{one.rule}: {one}" for one in found]


def own_chart(file: str, before: str, after: str) -> Callable[[Path], None]:
    return edited(f"charts/powerdns/{file}", (before, after))


OWN_CHART = {
    "a value that no template reads": (
        own_chart("templates/settings.yaml", '{{ join "," .Values.transfer.allow }}', ""),
        "dead-value",
        ("transfer.allow", "powerdns"),
    ),
    "a function of chance": (
        own_chart("templates/settings.yaml", "launch=gmysql\n", "launch=gmysql\n    # {{ randAlphaNum 8 }}\n"),
        "impure-template",
        ("randAlphaNum", "charts/powerdns/templates/settings.yaml"),
    ),
}


@pytest.mark.parametrize("name", OWN_CHART)
def test_a_fault_of_an_own_chart_is_found(tmp_path: Path, name: str) -> None:
    edit, rule, words = OWN_CHART[name]
    found = findings(platform(tmp_path, edit=edit))
    said = [f"{one.object} {one.field} {one.problem} {one.where}" for one in found if one.rule == rule]
    assert any(all(word in text for word in words) for text in said), [f"{one.rule}: {one}" for one in found]


def test_a_terraform_plan_that_still_owns_cilium_is_named_with_each_other_owner(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    after = {"name": "cilium", "namespace": "kube-system", "chart": "cilium"}
    change = {"address": "helm_release.cilium", "type": "helm_release", "mode": "managed", "change": {"after": after}}
    plan.write_text(json.dumps({"resource_changes": [change]}))
    adopted = (
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: cilium, namespace: kube-system}\n"
        "spec:\n  chart: {spec: {chart: cilium, version: 1.20.0, sourceRef: {kind: HelmRepository, name: samples, "
        "namespace: flux-system}}}\n  values: {}\n"
    )

    def edit(root: Path) -> None:
        file = root / "gitops/forge/release.yaml"
        file.write_text(f"{file.read_text()}---\n{adopted}")

    found = {one.rule: one for one in findings(platform(tmp_path, edit=edit, plans=(plan,)))}
    assert "helm_release.cilium" in found["terraform-owner"].problem
    assert "HelmRelease kube-system/cilium" in found["terraform-owner"].problem
    assert "Release::cilium" in found["one-release"].problem
