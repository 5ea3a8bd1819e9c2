"""A value's way in real pods: cert-manager, Vault, External Secrets, a pod that reads it; and its rotation.

Needs root, as containers do; an ordinary user sees why this was left out.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest

from checks.program import recorded
from components.secrets.secret_spec import OPERATOR_NAMESPACE as EXTERNAL
from tests.lab import certificates_in_pods, secrets_in_pods
from tests.lab.pods_cluster import PodsCluster
from tests.lab.postgres_in_pods import NAMESPACE, PASSWORD, client, owner
from tests.servers.certificates import NAMESPACE as CERT_MANAGER
from tests.servers.manifests import manifests

CONSUMER = {"app": "consumer"}
ROTATED = "only-letters-2"
FIRST, SECOND = 1, 2
"""Generations of the owner's password."""

LOGIN = "psql -qXAtc 'select current_user'"


@pytest.fixture(scope="module")
def cluster(postgres_pods: PodsCluster) -> PodsCluster:
    """The cluster with the program's database, and a consumer of its owner's password."""
    postgres_pods.apply(consumer())
    selector = "app=consumer"
    postgres_pods.until("the consumer", lambda: postgres_pods.ready(NAMESPACE, selector, 1))
    return postgres_pods


def consumer() -> dict[str, Any]:
    """A Deployment whose pods have the password in their environment, and can log in with it."""
    pod = client("consumer", "sleep infinity")
    labels = {**pod["metadata"]["labels"], **CONSUMER}
    spec = pod["spec"] | {"restartPolicy": "Always"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "consumer", "namespace": NAMESPACE},
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


def test_a_rotated_value_is_the_databases_and_after_a_restart_the_consumers(cluster: PodsCluster) -> None:
    """Reloader, which would restart the consumer, cannot be had: the test does it."""
    wanted = rotated(SECOND)
    assert wanted != owner()
    cluster.until("a login with the first", lambda: consumed(cluster, LOGIN) == "authentik")
    secrets_in_pods.give(cluster, wanted, ROTATED)
    cluster.apply(wanted)
    cluster.until("the database with the second", lambda: consumed(cluster, f"PGPASSWORD={ROTATED} {LOGIN}") != "")
    assert consumed(cluster, LOGIN) == ""
    cluster.kubectl("rollout", "restart", "deploy/consumer", "-n", NAMESPACE)
    cluster.until("a login with the second", lambda: consumed(cluster, LOGIN) == "authentik")
