"""What the operator and Vault's pods may do, as a real API server decides it."""

from __future__ import annotations

from itertools import product

import pytest

from tests.servers.kubernetes import KubernetesApi
from tests.servers.manifests import manifests
from tests.unit.vault.examples import made

OPERATOR = "system:serviceaccount:vault-system:vault-operator"
PODS = "system:serviceaccount:vault:vault"

Call = tuple[str, str, str, str, str]
"""Verb, group, resource, namespace and name (empty: any)."""

CACHED = [("", "services"), ("", "secrets"), ("", "configmaps"), ("", "pods"), ("apps", "statefulsets")]
OPERATOR_CALLS: list[Call] = [
    # pkg/controller/vault/vault_controller.go of v1.24.0: its client reads through a cache, which lists and watches.
    *(
        (verb, group, resource, "vault", "")
        for verb, (group, resource) in product(("get", "list", "watch"), [*CACHED, ("apps", "deployments")])
    ),
    *((verb, "vault.banzaicloud.com", "vaults", "vault", "") for verb in ("get", "list", "watch", "update")),
    *(
        (verb, group, resource, "vault", "")
        for verb, (group, resource) in product(
            ("create", "update"),
            [("", "services"), ("", "secrets"), ("apps", "statefulsets"), ("apps", "deployments")],
        )
    ),
    ("update", "vault.banzaicloud.com", "vaults/status", "vault", ""),
    ("update", "vault.banzaicloud.com", "vaults/finalizers", "vault", "instance"),
    ("delete", "", "configmaps", "vault", "instance-configurer"),
    # cmd/main.go: the election of a leader, in its own namespace.
    *((verb, "coordination.k8s.io", "leases", "vault-system", "") for verb in ("get", "create", "update")),
    ("create", "", "events", "vault-system", ""),
]
POD_CALLS: list[Call] = [
    # bank-vaults, pkg/kv/k8s/k8s.go
    *((verb, "", "secrets", "vault", "instance-unseal-keys") for verb in ("get", "update")),
    ("create", "", "secrets", "vault", ""),
    # Vault, serviceregistration/kubernetes
    *((verb, "", "pods", "vault", "instance-2") for verb in ("get", "patch")),
    # Vault's Kubernetes auth
    ("create", "authentication.k8s.io", "tokenreviews", "", ""),
]
FORBIDDEN: list[tuple[str, Call]] = [
    (OPERATOR, ("get", "", "secrets", "kube-system", "")),
    (OPERATOR, ("list", "", "secrets", "", "")),
    (OPERATOR, ("update", "", "secrets", "vault-system", "")),
    (OPERATOR, ("create", "", "pods", "vault", "")),
    (OPERATOR, ("create", "rbac.authorization.k8s.io", "rolebindings", "vault", "")),
    (PODS, ("get", "", "secrets", "vault", "vault-tls")),
    (PODS, ("list", "", "secrets", "vault", "")),
    (PODS, ("get", "", "secrets", "vault-system", "")),
    (PODS, ("delete", "", "secrets", "vault", "instance-unseal-keys")),
    (PODS, ("patch", "", "pods", "vault", "instance-configurer-0")),
]


@pytest.fixture(scope="module")
def api(kubernetes: KubernetesApi) -> KubernetesApi:
    """With the rights that our program gives."""
    kubernetes.apply(*manifests(made(), "Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRoleBinding"))
    return kubernetes


def allowed(api: KubernetesApi, user: str, call: Call) -> bool:
    verb, group, resource, namespace, name = call
    resource, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    groups = ["system:serviceaccounts", "system:authenticated"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": groups,
            "resourceAttributes": attributes | {"namespace": namespace, "name": name},
        },
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(api.request("POST", path, review)["status"]["allowed"])


@pytest.mark.parametrize("call", OPERATOR_CALLS, ids=" ".join)
def test_the_operator_may_do_what_it_does(api: KubernetesApi, call: Call) -> None:
    assert allowed(api, OPERATOR, call)


@pytest.mark.parametrize("call", POD_CALLS, ids=" ".join)
def test_vaults_pods_may_do_what_they_do(api: KubernetesApi, call: Call) -> None:
    assert allowed(api, PODS, call)


@pytest.mark.parametrize(
    ("user", "call"), FORBIDDEN, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_nothing_else_is_allowed(api: KubernetesApi, user: str, call: Call) -> None:
    assert not allowed(api, user, call)
