"""Faults in what the program declares: each is found, with its object, its field and the counterpart."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from checks.rules.all import RULES
from tests.checks.changes import (
    added,
    all_of,
    at,
    declared,
    endpoint,
    late_secret,
    memory,
    no_order,
    settings,
    talos,
    unlabelled,
    value_of,
    without,
)
from tests.checks.known.every import KNOWN
from tests.checks.platforms import Change, edited, findings, platform
from tests.checks.test_faults_of_the_same_kinds import CASES
from tests.checks.test_platform_faults_of_the_applications import FAULTS as OF_APPLICATIONS
from tests.checks.test_platform_faults_of_the_tree import FAULTS as OF_THE_TREE

SOLVER = ("spec", "acme", "solvers", 0, "dns01", "webhook")


ISSUER = "cert-manager.io/v1"
OTHER_AUTHORITY = all_of(
    added("Certificate", "other", {"secretName": "other", "isCA": True, "issuerRef": {"name": "cluster-ca-bootstrap"}},
          ISSUER, "cert-manager"),
    added("ClusterIssuer", "other", {"ca": {"secretName": "other"}}, ISSUER),
)  # fmt: skip


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
    "a version that is served no longer": Fault(
        at("ExternalSecret", "oidc-gitea", "apiVersion", value="external-secrets.io/v1beta1"),
        "served-version",
        ("ExternalSecret authentik/oidc-gitea", "apiVersion", "is v1beta1", "serves v1"),
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
    "a server that moved to another authority": Fault(
        all_of(
            OTHER_AUTHORITY,
            at("Certificate", "vault-tls", "spec", "issuerRef", value={"kind": "ClusterIssuer", "name": "other"}),
            at(
                "ClusterSecretStore",
                "vault",
                *("spec", "provider", "vault", "caProvider"),
                value={"type": "Secret", "namespace": "cert-manager", "name": "cluster-ca", "key": "tls.crt"},
            ),
        ),
        "trusted-root",
        (
            "ClusterSecretStore vault",
            "caProvider",
            "Secret cert-manager/cluster-ca",
            "Certificate vault/vault-tls",
            "other",
        ),
    ),
    "a server with a public certificate that a store does not trust": Fault(
        at(
            "Certificate",
            "vault-tls",
            *("spec", "issuerRef"),
            value={"kind": "ClusterIssuer", "name": "letsencrypt-prod-dns"},
        ),
        "reference-key",
        ("ClusterSecretStore vault", "caProvider", "ca.crt", "Secret vault/vault-tls", "tls.crt"),
    ),
    "a bootstrap that asks the address that it serves": Fault(
        endpoint("talos:cluster/kubeconfig:Kubeconfig", "atlas-kubeconfig", "endpoint", "10.0.3.1"),
        "address-before-its-owner",
        ("Kubeconfig atlas-kubeconfig", "endpoint", "10.0.3.1", "VIP", "waits for"),
    ),
    "a command of the bootstrap that asks that address": Fault(
        endpoint("command:local:Command", "volume-zones", "environment", {"ZONES": '{"controlplanes": ["10.0.3.1"]}'}),
        "address-before-its-owner",
        ("Command volume-zones", "environment.ZONES", "10.0.3.1", "VIP"),
    ),
    "names that are answered only where the pod is": Fault(
        value_of("powerdns", "service", "externalTrafficPolicy", value="Local"),
        "local-traffic",
        ("Service powerdns/", "externalTrafficPolicy", "Deployment powerdns/powerdns", "2 pods", "10.0.3.0/27"),
    ),
    "a second network for pods": Fault(
        declared(
            {
                "apiVersion": "apps/v1",
                "kind": "DaemonSet",
                "metadata": {"name": "kube-flannel", "namespace": "kube-system"},
            }
        ),
        "one-network",
        ("cluster.network.cni.name", "kube-flannel", "cilium"),
    ),
    "a store with two providers": Fault(
        at("ClusterSecretStore", "vault", "spec", "provider", "fake", value={"data": []}),
        "invalid-resource",
        ("ClusterSecretStore vault", "spec.provider", "at most 1 item"),
    ),
    "a record that the ingress controller's host has too": Fault(
        added(
            "ClusterRRset",
            "auth",
            {"name": "auth.test-cluster.agentydragon.com.", "type": "A", "records": ["10.0.3.2"]},
            "dns.cav.enablers.ob/v1alpha2",
        ),
        "record-owner",
        ("ClusterRRset auth", "spec.name", "auth.test-cluster", "external-dns", "Ingress"),
    ),
    "a store that is closed to its user": Fault(
        at("ClusterSecretStore", "vault", "spec", "conditions", value=[{"namespaces": ["powerdns"]}]),
        "store-namespace",
        ("ExternalSecret authentik/", "secretStoreRef", "ClusterSecretStore vault", "powerdns"),
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


def test_every_rule_has_a_fault_that_it_must_find() -> None:
    elsewhere = {"terraform-owner", "chart-absent", "program-convention", "program-recorded"}
    tested = {fault.rule for fault in FAULTS.values()} | {other.rule for other in OF_THE_TREE.values()}
    tested |= {other.rule for other in OF_APPLICATIONS.values()}
    tested |= {case.rule for case in (*CASES, *(case for known in KNOWN for case in known.cases))}
    assert sorted(set(RULES) - tested - {rule for _, rule, _ in OWN_CHART.values()} - elsewhere) == []


def test_a_chart_that_nobody_had_and_nobody_accepted_is_found(tmp_path: Path) -> None:
    def edit(root: Path) -> None:
        file = root / "charts/records/metallb.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "absent": True, "source": "nobody had metallb"}))

    [found] = [one for one in findings(platform(tmp_path, edit=edit)) if one.rule == "chart-absent"]
    assert (found.object, found.problem) == ("the chart metallb", "nobody had metallb")


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
