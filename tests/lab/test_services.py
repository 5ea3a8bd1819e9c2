"""Load balancer, ingress and certificates on a lab: ready after `up`, nodes drained, and a release that fails."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.drains import Watch, Workload, drain, kubectl, nodes_of, ready_replicas
from tests.lab.live import VMS, LiveLab

WORKLOADS: tuple[Workload, ...] = (
    ("nginx-ingress", "deployment/nginx-ingress-controller"),
    ("cert-manager", "deployment/cert-manager"),
    ("cert-manager", "deployment/cert-manager-webhook"),
    ("cert-manager", "deployment/cert-manager-cainjector"),
)
"""Namespace and name of what must keep a ready replica while any one node is drained."""

METALLB = "urn:pulumi:lab::homelab::homelab:network:MetalLb::metallb"

REFUSAL = "the lab refuses the definition of address pools"

POLICY: list[dict[str, Any]] = [
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-address-pools"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["apiextensions.k8s.io"],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["customresourcedefinitions"],
                    }
                ]
            },
            "validations": [
                {"expression": "object.metadata.name != 'ipaddresspools.metallb.io'", "message": REFUSAL},
            ],
        },
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "no-address-pools"},
        "spec": {"policyName": "no-address-pools", "validationActions": ["Deny"]},
    },
]


DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "ipaddresspools.metallb.io"},
    "spec": {
        "group": "metallb.io",
        "scope": "Namespaced",
        "names": {"kind": "IPAddressPool", "plural": "ipaddresspools", "singular": "ipaddresspool"},
        "versions": [
            {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


@contextmanager
def refused_definition(lab: LiveLab) -> Iterator[None]:
    """While the API refuses the definition of address pools, and until it takes them again.

    A policy is in force some time after it was made, and still is for some time after it was deleted.
    """
    policy, definition = (lab.session.directory / name for name in ("policy.json", "definition.json"))
    policy.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": POLICY}))
    definition.write_text(json.dumps(DEFINITION))
    try:
        applied = lab.run("kubectl", "apply", "-f", str(policy))
        assert applied.returncode == 0, applied.stdout
        _wait_for_the_policy(lab, definition, in_force=True)
        yield
    finally:
        lab.run("kubectl", "delete", "-f", str(policy), "--wait=true")
        _wait_for_the_policy(lab, definition, in_force=False)
        policy.unlink()
        definition.unlink()


def _wait_for_the_policy(lab: LiveLab, definition: Path, *, in_force: bool) -> None:
    deadline = time.monotonic() + 180
    while True:
        tried = lab.run("kubectl", "create", "--dry-run=server", "-f", str(definition))
        if (REFUSAL in tried.stdout) == in_force:
            return
        assert time.monotonic() < deadline, tried.stdout
        time.sleep(0.5)


def wait_until_complete(lab: LiveLab) -> None:
    """Until each workload has a ready pod on each worker again, and says so."""
    deadline = time.monotonic() + 270
    for namespace, workload in WORKLOADS:
        while (found := nodes_of(lab, namespace, workload)) != ["worker-0", "worker-1"]:
            assert time.monotonic() < deadline, f"{workload} runs on {found}"
            time.sleep(0.5)
        complete = lab.run("kubectl", "-n", namespace, "rollout", "status", workload, "--timeout=270s")
        assert complete.returncode == 0, complete.stdout


def test_the_ingress_has_the_address_of_its_pool(lab: LiveLab) -> None:
    wanted = json.loads(lab.run("pulumi", "stack", "output", "--json").stdout)["ingressAddress"]
    service = kubectl(lab, "-n", "nginx-ingress", "get", "service/nginx-ingress-controller")
    assert [entry["ip"] for entry in service["status"]["loadBalancer"]["ingress"]] == [wanted]
    assert wanted in kubectl(lab, "-n", "metallb-system", "get", "ipaddresspool/ingress-pool")["spec"]["addresses"][0]


def test_the_ca_of_the_cluster_can_sign(lab: LiveLab) -> None:
    conditions = kubectl(lab, "get", "clusterissuer/cluster-ca")["status"]["conditions"]
    assert [(condition["type"], condition["status"]) for condition in conditions] == [("Ready", "True")]


@pytest.mark.parametrize(("namespace", "workload"), WORKLOADS)
def test_replicas_run_on_different_nodes(lab: LiveLab, namespace: str, workload: str) -> None:
    assert nodes_of(lab, namespace, workload) == ["worker-0", "worker-1"]


@pytest.mark.parametrize("node", VMS)
def test_draining_any_one_node_leaves_each_workload_a_ready_replica(lab: LiveLab, node: str) -> None:
    watch = Watch(lab, WORKLOADS)
    try:
        with watch.running():
            drained = drain(lab, node, 270)
        assert drained.returncode == 0, drained.stdout
    finally:
        lab.run("kubectl", "uncordon", node)
    wait_until_complete(lab)
    assert {workload: fewest for workload, fewest in watch.fewest.items() if fewest < 1} == {}


def test_a_second_node_cannot_be_drained_while_the_first_one_is_away(lab: LiveLab) -> None:
    try:
        first = drain(lab, "worker-0", 270)
        assert first.returncode == 0, first.stdout
        second = drain(lab, "worker-1", 8)
        left = ready_replicas(lab, WORKLOADS)
    finally:
        lab.run("kubectl", "uncordon", "worker-0")
        lab.run("kubectl", "uncordon", "worker-1")
    assert "would violate the pod's disruption budget" in second.stdout
    assert left == {workload: 1 for _, workload in WORKLOADS}
    wait_until_complete(lab)


@pytest.mark.long
def test_a_release_without_the_definition_of_pools_is_named_and_made_good_by_the_next_up(lab: LiveLab) -> None:
    gone = lab.run("pulumi", "destroy", "--yes", "--skip-preview", "--target", METALLB + "**", "--target-dependents")
    assert gone.returncode == 0, gone.stdout
    # Otherwise the release would find it, and nothing would be there to refuse.
    away = lab.run("kubectl", "wait", "--for=delete", "crd/ipaddresspools.metallb.io", "--timeout=180s")
    assert away.returncode == 0, away.stdout
    with refused_definition(lab):
        failed = lab.up()
    assert failed.returncode != 0
    assert REFUSAL in failed.stdout
    assert "ipaddresspools.metallb.io" in failed.stdout
    assert "IPAddressPool" not in failed.stdout
    again = lab.up()
    assert again.returncode == 0, again.stdout
    unchanged = lab.up("--expect-no-changes")
    assert unchanged.returncode == 0, unchanged.stdout


@pytest.mark.long
def test_public_certificates_that_nobody_issues_hold_up_no_up_and_are_told(lab: LiveLab) -> None:
    def public(settings: dict[str, Any]) -> None:
        settings["certificates"]["staging"] = False
        # Nobody can delegate the lab's own domain, so Let's Encrypt is not to be asked about it.
        settings["cluster"]["domain"] = "lab.example.org"

    with lab.changed(public):
        result = lab.up()
        assert result.returncode == 0, result.stdout
        told = lab.run(sys.executable, "-m", "stacks.commands.certificates", "--stack", "lab")
    assert told.returncode == 1, told.stdout
    issued_by = {
        "authentik/authentik-tls for auth.": "ClusterIssuer.cert-manager.io/cluster-ca",
        "vault/vault-entry for vault.": "ClusterIssuer.cert-manager.io/cluster-ca",
        # A temporary certificate names nobody.
        "cert-manager/wildcard-tls for ": "Issuer.cert-manager.io/",
    }
    for name, issuer in issued_by.items():
        [line] = [line for line in told.stdout.splitlines() if line.startswith(name)]
        assert line.endswith(f'Issuing certificate as Secret was previously issued by "{issuer}"')
    back = lab.up()
    assert back.returncode == 0, back.stdout
