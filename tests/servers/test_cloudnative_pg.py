"""CloudNativePG's real operator on the program's own database: its admission, and what it makes of it.

It is of the release that the chart brings, with that release's own definitions and rights. No kubelet runs its pods, so
it comes as far as the first server's Job. The API server calls no webhook here; the test sends what it would send.
"""

from __future__ import annotations

import base64
import copy
import json
import platform
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from lab.programs import ensure
from tests.servers.certificates import write_pair
from tests.servers.kubernetes import KubernetesApi
from tests.servers.manifests import lab, manifests
from tests.servers.names import module
from tests.servers.pods import pod
from tests.servers.processes import eventually, free_ports

Manifest = dict[str, Any]

MODULE = "github.com/cloudnative-pg/cloudnative-pg"
NAMESPACE, ACCOUNT = "cnpg-system", "cnpg-manager"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
APPLIED = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap")


@dataclass(frozen=True)
class Operator:
    """A running operator, and what its webhooks answer."""

    api: KubernetesApi
    port: int

    def asked(self, hook: str, cluster: Manifest, before: Manifest | None = None) -> dict[str, Any]:
        """The answer of a webhook to the creation or the update of a cluster."""
        review = {
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "1",
                "kind": {"group": "postgresql.cnpg.io", "version": "v1", "kind": "Cluster"},
                "resource": {"group": "postgresql.cnpg.io", "version": "v1", "resource": "clusters"},
                "operation": "CREATE" if before is None else "UPDATE",
                "namespace": cluster["metadata"]["namespace"],
                "name": cluster["metadata"]["name"],
                "userInfo": {"username": "admin"},
                "object": cluster,
                "oldObject": before,
            },
        }
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/{hook}-postgresql-cnpg-io-v1-cluster",
            data=json.dumps(review).encode(),
            headers={"Content-Type": "application/json"},
        )
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(request, timeout=20, context=context) as response:
            answer: dict[str, Any] = json.load(response)["response"]
            return answer

    def found(self, api_version: str, kind: str, name: str) -> Manifest | None:
        """An object beside the database."""
        item: Manifest | None = self.api.find(api_version, kind, name, database()["metadata"]["namespace"])
        return item


def database() -> Manifest:
    """The program's cluster."""
    [cluster] = manifests(lab(), "Cluster")
    return cluster


@pytest.fixture(scope="module")
def operator(kubernetes: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """At work on the program's cluster, whose Secret is there."""
    directory = tmp_path_factory.mktemp("cloudnative-pg")
    release = module(MODULE, "tools/cloudnative-pg") / "releases/cnpg-1.30.0.yaml"
    objects = [item for item in yaml.safe_load_all(release.read_text()) if item]
    kubernetes.apply(*(item for item in objects if item["kind"] in APPLIED))
    [webhook, metrics] = free_ports(2)
    write_pair(directory, "apiserver")
    program = ensure(["cloudnative-pg"])["cloudnative-pg"].path
    # Its image has one for each architecture beside it, which servers get.
    (directory / "operator").mkdir()
    (directory / f"operator/manager_{ARCHITECTURES[platform.machine()]}").symlink_to(program)
    command = [
        *("env", f"OPERATOR_NAMESPACE={NAMESPACE}", f"WEBHOOK_CERT_DIR={directory}"),
        "OPERATOR_IMAGE_NAME=ghcr.io/cloudnative-pg/cloudnative-pg:1.30.0",
        *(str(program), "controller"),
        *(f"--webhook-port={webhook}", f"--metrics-bind-address=127.0.0.1:{metrics}"),
    ]
    with pod(kubernetes, NAMESPACE, ACCOUNT, command, directory=directory, ready=lambda: _serves(webhook)):
        kubernetes.namespace(database()["metadata"]["namespace"])
        name = database()["spec"]["bootstrap"]["initdb"]["secret"]["name"]
        place = {"name": name, "namespace": database()["metadata"]["namespace"]}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "metadata": place}
        kubernetes.apply(secret | {"stringData": {"username": "authentik", "password": "only-letters-1"}})
        kubernetes.apply(database())
        yield Operator(kubernetes, webhook)


def _serves(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=2, context=context) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def completed(operator: Operator, cluster: Manifest) -> Manifest:
    """The cluster with the defaults that the operator's first webhook adds."""
    answer = operator.asked("mutate", cluster)
    assert answer["allowed"], answer
    changed = copy.deepcopy(cluster)
    for change in json.loads(base64.b64decode(answer.get("patch", "W10="))):
        target: Any = changed
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in change["path"].split("/")[1:]]
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        target[last] = change["value"]
    return changed


def test_the_operator_takes_the_programs_database(operator: Operator) -> None:
    answer = operator.asked("validate", completed(operator, database()))
    assert answer["allowed"], answer
    assert answer.get("warnings", []) == []


def test_no_default_changes_what_the_program_says(operator: Operator) -> None:
    def within(wanted: Any, found: Any) -> bool:
        if isinstance(wanted, dict):
            return all(within(value, found.get(key)) for key, value in wanted.items())
        return bool(wanted == found)

    assert within(database()["spec"], completed(operator, database())["spec"])


REFUSED: dict[str, tuple[Callable[[Manifest], object], str]] = {
    "no size": (lambda spec: spec["storage"].pop("size"), "Size not configured"),
    "a size that is none": (lambda spec: spec["storage"].update(size="much"), "Size"),
    "a parameter that the operator sets itself": (
        lambda spec: spec["postgresql"]["parameters"].update(port="5433"),
        "Can't set fixed configuration parameter",
    ),
    "shared buffers that its memory cannot hold": (
        lambda spec: spec["postgresql"]["parameters"].update(shared_buffers="4GB"),
        "shared_buffers",
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_the_operator_refuses(operator: Operator, wrong: str) -> None:
    change, told = REFUSED[wrong]
    cluster = database()
    change(cluster["spec"])
    answer = operator.asked("validate", completed(operator, cluster))
    assert not answer["allowed"], answer
    assert told in answer["status"]["message"]


def test_the_operator_makes_the_names_that_the_program_hands_out(operator: Operator) -> None:
    name = database()["metadata"]["name"]
    assert eventually(lambda: operator.found("v1", "Service", f"{name}-rw"), "the Service of the writable server")
    authority = eventually(lambda: operator.found("v1", "Secret", f"{name}-ca"), "the authority's Secret")
    assert "ca.crt" in authority["data"]


def test_the_first_server_gets_owner_database_and_secret_of_the_program(operator: Operator) -> None:
    cluster = database()
    name, start = cluster["metadata"]["name"], cluster["spec"]["bootstrap"]["initdb"]
    job = eventually(lambda: operator.found("batch/v1", "Job", f"{name}-1-initdb"), "the Job of the first server")
    [container] = job["spec"]["template"]["spec"]["containers"]
    command = container["command"]
    assert [command[command.index(f"--app-{what}") + 1] for what in ("db-name", "user")] == [
        start["database"],
        start["owner"],
    ]
    assert job["spec"]["template"]["metadata"]["labels"]["cnpg.io/cluster"] == name
    claim = eventually(lambda: operator.found("v1", "PersistentVolumeClaim", f"{name}-1"), "the first volume's claim")
    assert claim["spec"]["storageClassName"] == cluster["spec"]["storage"]["storageClass"]


def test_the_budget_lets_one_server_go_at_a_time(operator: Operator) -> None:
    name = database()["metadata"]["name"]
    budget = eventually(lambda: operator.found("policy/v1", "PodDisruptionBudget", f"{name}-primary"), "the budget")
    assert budget["spec"]["minAvailable"] == 1


def test_the_operator_waits_for_the_owners_secret(operator: Operator) -> None:
    cluster = database()
    cluster["metadata"]["name"] = "without-secret"
    cluster["spec"]["bootstrap"]["initdb"]["secret"]["name"] = "nobody"
    operator.api.apply(cluster)

    def told() -> str | None:
        now = operator.found("postgresql.cnpg.io/v1", "Cluster", "without-secret") or {}
        phase: str | None = now.get("status", {}).get("phase")
        return phase

    assert eventually(told, "a phase")
