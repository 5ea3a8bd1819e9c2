"""The real sealed-secrets controller opens what is sealed here, before and after a destroy and an up.

Real: the API server, the controller, and its chart, installed with the values and the keypair Secret that the program's
components give. Nothing runs the Deployment: the controller is a process with the Deployment's arguments and its
service account's rights.
"""

from __future__ import annotations

import base64
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from components.secrets.sealed_secrets import KEYPAIR_LABELS
from components.secrets.sealing import PlainSecret, Scope, seal
from lab.programs import ensure
from tests.servers import memory, sealed_secrets
from tests.servers.kubernetes import ApiError, KubernetesApi, kubernetes_api
from tests.servers.pods import pod
from tests.servers.processes import eventually, free_ports
from tests.servers.sealed_secrets import Installation

VALUES = {"config.yaml": b"clusters: []\n", "empty": b"", "binary": bytes(range(256))}

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster with a running controller."""

    api: KubernetesApi
    controller: str
    """URL of the controller's own server."""

    def opened(self, namespace: str, name: str) -> Manifest:
        """The Secret that the controller made of a SealedSecret, once it has dealt with it."""
        condition = self.condition(namespace, name)
        assert condition["status"] == "True", condition
        secret = self.api.get("v1", "Secret", name, namespace)
        assert isinstance(secret, dict)
        return secret

    def condition(self, namespace: str, name: str) -> Manifest:
        """The controller's verdict on a SealedSecret."""

        def verdict() -> Manifest | None:
            status = self.api.get("bitnami.com/v1alpha1", "SealedSecret", name, namespace).get("status", {})
            return next(iter(status.get("conditions", [])), None)

        return eventually(verdict, f"verdict on {namespace}/{name}")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """The components' objects for one keypair, which is the same in every cluster."""
    return sealed_secrets.installation(tmp_path_factory.mktemp("values"))


@pytest.fixture(scope="module")
def sealed(installation: Installation) -> list[Manifest]:
    """What lies in git, sealed once: a value of each scope where it belongs, and elsewhere."""

    def manifest(scope: Scope, name: str, *, namespace: str = "apps", found_as: str | None = None) -> Manifest:
        secret = PlainSecret(namespace="apps", name=name, data=VALUES, type="homelab/test", labels={"app": "test"})
        made = seal(secret, installation.certificate, scope)
        made["metadata"] |= {"name": found_as or name, "namespace": namespace}
        return made

    return [
        *(manifest(scope, scope.value) for scope in Scope),
        manifest(Scope.STRICT, "original", found_as="strict-renamed"),
        manifest(Scope.STRICT, "strict-moved", namespace="other"),
        manifest(Scope.NAMESPACE_WIDE, "original", found_as="namespace-wide-renamed"),
        manifest(Scope.NAMESPACE_WIDE, "namespace-wide-moved", namespace="other"),
        manifest(Scope.CLUSTER_WIDE, "original", namespace="other", found_as="cluster-wide-moved-and-renamed"),
    ]


@pytest.fixture(scope="module", params=["first-up", "destroy-and-up"])
def cluster(
    installation: Installation, sealed: list[Manifest], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A new cluster, each time with the keypair and the sealed manifests of the one before."""
    directory = tmp_path_factory.mktemp("cluster")
    account = installation.pod["serviceAccountName"]
    port, metrics_port = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    command = [
        str(ensure(["sealed-secrets-controller"])["sealed-secrets-controller"].path),
        *installation.pod["containers"][0]["args"],
        f"--listen-addr=127.0.0.1:{port}",
        f"--listen-metrics-addr=127.0.0.1:{metrics_port}",
    ]
    with kubernetes_api(directory / "api") as api:
        for namespace in ("apps", "other"):
            api.namespace(namespace)
        api.apply(*installation.objects)
        with pod(api, "kube-system", account, command, directory=directory, ready=lambda: answer(url) == "ok\n"):
            api.apply(*sealed)
            yield Cluster(api, url)


def answer(url: str, path: str = "/healthz") -> str | None:
    """What the controller's own server answers; None while it does not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url + path, timeout=5) as response:
            return str(response.read().decode())
    except OSError:
        return None


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("apps", "strict"),
        ("apps", "namespace-wide"),
        ("apps", "cluster-wide"),
        ("apps", "namespace-wide-renamed"),
        ("other", "cluster-wide-moved-and-renamed"),
    ],
)
def test_a_value_is_opened_within_its_scope(cluster: Cluster, namespace: str, name: str) -> None:
    secret = cluster.opened(namespace, name)
    assert {key: base64.b64decode(value) for key, value in secret["data"].items()} == VALUES
    assert (secret["type"], secret["metadata"]["labels"]) == ("homelab/test", {"app": "test"})


@pytest.mark.parametrize(
    ("namespace", "name"), [("apps", "strict-renamed"), ("other", "strict-moved"), ("other", "namespace-wide-moved")]
)
def test_a_value_is_not_opened_outside_its_scope(cluster: Cluster, namespace: str, name: str) -> None:
    condition = cluster.condition(namespace, name)
    assert condition["status"] == "False"
    assert "no key could decrypt secret" in condition["message"]
    assert cluster.api.find("v1", "Secret", name, namespace) is None


def test_a_secret_that_the_controller_did_not_make_is_not_taken_over(
    cluster: Cluster, installation: Installation
) -> None:
    ours = seal(PlainSecret(namespace="apps", name="pulumis", data={"key": b"ours"}), installation.certificate)
    theirs = {"apiVersion": "v1", "kind": "Secret", "metadata": ours["metadata"], "stringData": {"key": "theirs"}}
    cluster.api.apply(theirs, ours)
    assert "already exists and is not managed by SealedSecret" in cluster.condition("apps", "pulumis")["message"]
    kept = cluster.api.get("v1", "Secret", "pulumis", "apps")["data"]["key"]
    assert base64.b64decode(kept) == b"theirs"


def test_the_controller_has_the_programs_keypair_and_no_other(cluster: Cluster) -> None:
    [(label, value)] = KEYPAIR_LABELS.items()
    query = urllib.parse.urlencode({"labelSelector": f"{label}={value}"})
    found = cluster.api.request("GET", f"/api/v1/namespaces/kube-system/secrets?{query}")["items"]
    assert [secret["metadata"]["name"] for secret in found] == ["sealed-secrets-key"]


def test_the_controller_hands_out_the_programs_certificate(cluster: Cluster, installation: Installation) -> None:
    assert answer(cluster.controller, "/v1/cert.pem") == installation.certificate + "\n"


def test_the_controller_needs_less_than_half_of_its_memory_limit(cluster: Cluster, installation: Installation) -> None:
    """With Secrets of others that are as large as Helm's records, and a few SealedSecrets more."""
    release = base64.b64encode(bytes(100_000)).decode()
    for number in range(60):
        metadata = {"name": f"sh.helm.release.v1.chart.v{number}", "namespace": "other", "labels": {"owner": "helm"}}
        cluster.api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"release": release}})
    for number in range(12):
        secret = PlainSecret(namespace="apps", name=f"more-{number}", data=VALUES)
        cluster.api.apply(seal(secret, installation.certificate))
    cluster.opened("apps", "more-11")
    [container] = installation.pod["containers"]
    program = str(ensure(["sealed-secrets-controller"])["sealed-secrets-controller"].path)
    assert memory.peak(program) < memory.limit(container["resources"]) / 2


def test_the_controllers_pod_is_let_in_at_the_strictest_pod_security_level(
    cluster: Cluster, installation: Installation
) -> None:
    account = {"name": installation.pod["serviceAccountName"], "namespace": "strict"}
    strict = {"name": "strict", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    metadata = {"name": "controller", "namespace": "strict"}
    cluster.api.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": strict},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account},
    )
    controller = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": installation.pod}
    try:
        cluster.api.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All", controller)
    except ApiError as error:
        pytest.fail(str(error))
