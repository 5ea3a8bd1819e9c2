"""A value's way in real pods: cert-manager, Vault, External Secrets, a pod that reads it; and its rotation.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest

from checks.program import recorded
from components.kit.references import SecretReference
from components.secrets.reloader import restart_on
from components.secrets.secret_spec import OPERATOR_NAMESPACE as EXTERNAL
from tests.lab import certificates_in_pods, reloader_in_pods, secrets_in_pods
from tests.lab.pods_cluster import PodsCluster
from tests.lab.postgres_in_pods import NAMESPACE, PASSWORD, client, owner
from tests.servers.certificates import NAMESPACE as CERT_MANAGER
from tests.servers.manifests import manifests

CONSUMER = {"app": "consumer"}
PODS = "app=consumer"
ROTATED = "only-letters-2"
FIRST, SECOND = 1, 2
"""Generations of the owner's password."""

LOGIN = "psql -qXAtc 'select current_user'"


@pytest.fixture(scope="module")
def cluster(postgres_pods: PodsCluster) -> PodsCluster:
    """The cluster with the program's database, and a consumer of its owner's password."""
    postgres_pods.apply(consumer())
    postgres_pods.until("the consumer", lambda: postgres_pods.ready(NAMESPACE, PODS, 1))
    return postgres_pods


def consumer() -> dict[str, Any]:
    """A Deployment whose pods have the password in their environment, can log in with it, and restart for another."""
    secret = SecretReference(namespace=NAMESPACE, name=owner()["spec"]["target"]["name"], key="password", ready=None)  # type: ignore[arg-type]
    pod = client("consumer", "sleep infinity")
    labels = {**pod["metadata"]["labels"], **CONSUMER}
    spec = pod["spec"] | {"restartPolicy": "Always"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "consumer", "namespace": NAMESPACE, "annotations": restart_on(secret)},
        "spec": {"selector": {"matchLabels": CONSUMER}, "template": template},
    }


def consumed(cluster: PodsCluster, command: str) -> str:
    """What a command prints in the consumer's pod."""
    run = ("exec", "-n", NAMESPACE, "deploy/consumer", "--", "sh", "-c", command)
    return cluster.kubectl(*run, check=False).strip()


def rotated(generation: int) -> dict[str, Any]:
    """The ExternalSecret of the owner's password in another generation."""
    name = owner()["metadata"]["name"]

    def change(settings: dict[str, Any]) -> None:
        settings["rotation"] = {name: generation}

    found = manifests(recorded("prod", change=change), "ExternalSecret")
    [only] = [item for item in found if item["metadata"]["name"] == name]
    return copy.deepcopy(only)


def test_cert_manager_and_external_secrets_are_ready_by_their_own_probes(cluster: PodsCluster) -> None:
    cluster.until("cert-manager", lambda: cluster.ready(CERT_MANAGER, certificates_in_pods.CONTROLLERS, 2))
    for name, count in secrets_in_pods.PARTS.items():
        cluster.until(name, functools.partial(cluster.ready, EXTERNAL, f"app.kubernetes.io/name={name}", count))


def test_a_value_in_vault_reaches_a_pod(cluster: PodsCluster) -> None:
    assert consumed(cluster, 'echo "$PGPASSWORD"') == PASSWORD


def test_a_pod_logs_in_to_the_database_with_it(cluster: PodsCluster) -> None:
    cluster.until("a login", lambda: consumed(cluster, LOGIN) == "authentik")


def test_a_rotation_reaches_the_database_and_restarts_its_consumer(
    cluster: PodsCluster, figure: Callable[[str], None]
) -> None:
    """Nobody restarts the consumer but Reloader, whose work is played."""
    wanted = rotated(SECOND)
    assert wanted != owner()
    cluster.until("a login with the first", lambda: consumed(cluster, LOGIN) == "authentik")
    [before] = pods(cluster)
    with reloader_in_pods.working(cluster):
        secrets_in_pods.give(cluster, wanted, ROTATED)
        cluster.apply(wanted)
        cluster.until("another pod", lambda: before not in pods(cluster))
        took = cluster.until("a login with the second", lambda: consumed(cluster, LOGIN) == "authentik")
    assert consumed(cluster, 'echo "$PGPASSWORD"') == ROTATED
    figure(f"after a rotation, the new pod of its consumer logged in to the database after {took:.0f} s")


def pods(cluster: PodsCluster) -> list[str]:
    """The names of the consumer's pods."""
    return [pod["metadata"]["name"] for pod in cluster.get("pods", "-n", NAMESPACE, "-l", PODS)["items"]]
