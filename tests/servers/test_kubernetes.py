"""The Kubernetes API that the tests of controllers stand on is a real one: it knows whom it lets do what."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.programs import ensure
from tests.servers.kubernetes import ISSUER, ApiError, KubernetesApi
from tests.servers.processes import run


@pytest.fixture(scope="module")
def reader(kubernetes: KubernetesApi) -> str:
    """Token of a service account that may get ConfigMaps of its namespace, and nothing else."""
    kubernetes.namespace("apps")
    in_apps = {"name": "reader", "namespace": "apps"}
    kubernetes.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": in_apps},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": in_apps,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": in_apps,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "apps"}],
        },
    )
    return kubernetes.token("apps", "reader")


def test_a_service_account_does_what_its_role_allows(kubernetes: KubernetesApi, reader: str) -> None:
    assert kubernetes.request("GET", "/api/v1/namespaces/apps/configmaps", token=reader)["kind"] == "ConfigMapList"


def test_a_service_account_does_nothing_else(kubernetes: KubernetesApi, reader: str) -> None:
    with pytest.raises(ApiError) as refused:
        kubernetes.request("GET", "/api/v1/namespaces/apps/secrets", token=reader)
    assert refused.value.status == 403


def test_an_unknown_token_is_refused(kubernetes: KubernetesApi) -> None:
    with pytest.raises(ApiError) as refused:
        kubernetes.request("GET", "/api/v1/namespaces", token="unknown")
    assert refused.value.status == 401


@pytest.mark.parametrize(("audience", "accepted"), [(ISSUER, True), ("vault", False)])
def test_a_token_is_reviewed_with_its_audience(
    kubernetes: KubernetesApi, reader: str, audience: str, accepted: bool
) -> None:
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": reader, "audiences": [audience]},
    }
    status = kubernetes.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert status.get("authenticated", False) is accepted


def test_kubectl_is_administrator_with_the_kubeconfig(kubernetes: KubernetesApi, tmp_path: Path) -> None:
    kubectl = [str(ensure(["kubectl"])["kubectl"].path), f"--kubeconfig={kubernetes.kubeconfig}"]
    names = run([*kubectl, f"--cache-dir={tmp_path}", "get", "namespaces", "--output=name"])
    assert "namespace/kube-system" in names.splitlines()
