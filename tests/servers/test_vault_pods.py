"""Vault's pods before the admission of a real API server: Pod Security, and the policy that corrects the operator."""

from __future__ import annotations

from typing import Any

import pytest

from tests.servers.kubernetes import ApiError, KubernetesApi
from tests.servers.manifests import manifests
from tests.servers.processes import eventually
from tests.servers.vault_pods import configurer_pod, server_pod
from tests.unit.vault.examples import made

POLICY = ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def spec() -> Any:
    (resource,) = manifests(made(), "Vault")
    return resource["spec"]


@pytest.fixture(scope="module")
def api(kubernetes: KubernetesApi) -> KubernetesApi:
    """With the namespaces, accounts and policies of our program."""
    kubernetes.apply(*manifests(made(), "Namespace", "ServiceAccount", *POLICY))
    for level in ("restricted", "baseline", "privileged"):
        labels = {"pod-security.kubernetes.io/enforce": level}
        kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": level, "labels": labels}})
        account = {"name": "vault", "namespace": level}
        kubernetes.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    eventually(lambda: admitted(kubernetes, server_pod(spec(), "instance-0", "vault")), "policy at work")
    return kubernetes


def admitted(api: KubernetesApi, pod: dict[str, Any]) -> dict[str, Any] | None:
    """The pod as the API server would store it, or None if it is refused."""
    try:
        return dict(api.request("POST", f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods?dryRun=All", pod))
    except ApiError:
        return None


def refusal(api: KubernetesApi, pod: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as refused:
        api.request("POST", f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods?dryRun=All", pod)
    return str(refused.value)


def test_a_server_is_admitted_to_its_restricted_namespace(api: KubernetesApi) -> None:
    assert admitted(api, server_pod(spec(), "instance-0", "vault"))


def test_a_server_runs_without_any_capability(api: KubernetesApi) -> None:
    pod = admitted(api, server_pod(spec(), "instance-1", "vault"))
    assert pod
    assert pod["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_configurer_is_admitted_to_the_restricted_namespace(api: KubernetesApi) -> None:
    assert admitted(api, configurer_pod(spec(), "instance-configurer", "vault"))


@pytest.mark.parametrize("level", ["restricted", "baseline"])
def test_without_the_policy_the_operators_capabilities_are_refused(api: KubernetesApi, level: str) -> None:
    assert "IPC_LOCK" in refusal(api, server_pod(spec(), "instance-0", level))


def test_without_the_policy_only_a_privileged_namespace_takes_a_server(api: KubernetesApi) -> None:
    assert admitted(api, server_pod(spec(), "instance-0", "privileged"))


def test_the_policy_opens_the_namespace_to_nothing_else(api: KubernetesApi) -> None:
    pod = configurer_pod(spec(), "other", "vault")
    pod["spec"]["hostNetwork"] = True
    assert "host namespaces" in refusal(api, pod)
