"""The drain of a node against a real Kubernetes API, which decides about each eviction; a thread stops the pods."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from components.talos import drain
from components.talos.api import TalosError
from components.talos.drain import Drain
from components.talos.kubernetes_api import Answer, KubernetesApi
from tests.servers.kubernetes import ApiError
from tests.servers.kubernetes import KubernetesApi as ServerApi

NODE, NAMESPACE = "worker-0", "database"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
BUDGETS = f"/apis/policy/v1/namespaces/{NAMESPACE}/poddisruptionbudgets"


class ByToken(KubernetesApi):
    """The program's client, with the test API's way of signing on."""

    def __init__(self, api: ServerApi) -> None:
        self.url, self._api = api.url, api

    def request(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Answer:
        try:
            return Answer(200, self._api.request(method, path, body, kind=kind))
        except ApiError as error:
            return Answer(error.status, error.content)


@pytest.fixture(scope="module")
def api(kubernetes: ServerApi) -> ServerApi:
    kubernetes.namespace(NAMESPACE)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}}
    kubernetes.apply(account)
    return kubernetes


@pytest.fixture
def node(api: ServerApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerApi]:
    """The API of a cluster with one node that takes pods, and no pod."""
    monkeypatch.setattr(drain, "_POLL", 0.1)
    api.request("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
    yield api
    for name in names(api):
        api.request("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
    api.request("DELETE", BUDGETS)
    api.request("DELETE", f"/api/v1/nodes/{NODE}")


def pod(api: ServerApi, name: str, metadata: Mapping[str, Any] | None = None, phase: str = "Running") -> None:
    """A pod on the node, in a phase of its life."""
    body = {
        "metadata": {"name": name, "labels": {"app": name}, **(metadata or {})},
        "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "c"}]},
    }
    api.request("POST", PODS, body)
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
    merge = "application/merge-patch+json"
    api.request("PATCH", f"{PODS}/{name}/status", {"status": status}, kind=merge)


def budget(api: ServerApi, name: str, *, healthy: int, needed: int, expected: int, owner: str | None = None) -> None:
    """A budget of the pods with label app=<name>, and what the controller that counts them would have written."""
    owners = [{"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "name": owner, "uid": "1"}] if owner else []
    spec = {"minAvailable": needed, "selector": {"matchLabels": {"app": name}}}
    made = api.request("POST", BUDGETS, {"metadata": {"name": name, "ownerReferences": owners}, "spec": spec})
    status = {
        "observedGeneration": made["metadata"]["generation"],
        "disruptionsAllowed": max(0, healthy - needed),
        "currentHealthy": healthy,
        "desiredHealthy": needed,
        "expectedPods": expected,
    }
    api.request("PATCH", f"{BUDGETS}/{name}/status", {"status": status}, kind="application/merge-patch+json")


def names(api: ServerApi) -> list[str]:
    return sorted(item["metadata"]["name"] for item in api.request("GET", PODS)["items"])


def takes_pods(api: ServerApi) -> bool:
    return not api.request("GET", f"/api/v1/nodes/{NODE}")["spec"].get("unschedulable", False)


@contextmanager
def kubelet(api: ServerApi, *, again: bool = False) -> Iterator[None]:
    """Stops pods that are being deleted, as a node's kubelet does; `again`: and a controller puts them there again."""
    done = threading.Event()

    def stop() -> None:
        while not done.wait(0.1):
            for item in api.request("GET", PODS)["items"]:
                if "deletionTimestamp" in item["metadata"]:
                    name = item["metadata"]["name"]
                    api.request("DELETE", f"{PODS}/{name}?gracePeriodSeconds=0")
                    if again:
                        pod(api, name)

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def drained(api: ServerApi, seconds: float = 20) -> None:
    with kubelet(api):
        Drain(ByToken(api), NODE, seconds).run()


def test_pods_leave_and_the_node_takes_no_others(node: ServerApi) -> None:
    pod(node, "web")
    pod(node, "bare")
    budget(node, "web", healthy=2, needed=1, expected=2)
    drained(node)
    assert (names(node), takes_pods(node)) == ([], False)


def test_pods_that_belong_to_the_node_and_pods_that_have_ended_stay(node: ServerApi) -> None:
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "1", "controller": True}
    pod(node, "daemon", {"ownerReferences": [daemon]})
    pod(node, "ended", phase="Succeeded")
    drained(node)
    assert names(node) == ["daemon", "ended"]


def test_a_drain_that_is_repeated_goes_on_where_it_was(node: ServerApi) -> None:
    pod(node, "web")
    Drain(ByToken(node), NODE, 20)._cordon()
    drained(node)
    assert (names(node), takes_pods(node)) == ([], False)


def test_a_node_that_kubernetes_does_not_know_is_drained(node: ServerApi) -> None:
    with kubelet(node):
        Drain(ByToken(node), "worker-9", 20).run()


def test_a_pod_that_its_budget_keeps_stays_and_the_node_takes_pods_again(node: ServerApi) -> None:
    pod(node, "db")
    budget(node, "db", healthy=1, needed=1, expected=1)
    with pytest.raises(TalosError) as refused:
        drained(node, seconds=1)
    assert "worker-0 stays in the cluster and takes pods again: after 1 s it still has database/db" in str(
        refused.value
    )
    assert "The disruption budget db needs 1 healthy pods and has 1 currently" in str(refused.value)
    assert (names(node), takes_pods(node)) == (["db"], True)


def test_a_node_that_took_no_pods_before_takes_none_after_a_drain_that_failed(node: ServerApi) -> None:
    pod(node, "db")
    budget(node, "db", healthy=1, needed=1, expected=1)
    Drain(ByToken(node), NODE, 20)._cordon()
    with pytest.raises(TalosError, match="worker-0 stays in the cluster and is cordoned as before"):
        drained(node, seconds=1)
    assert not takes_pods(node)


@pytest.mark.parametrize(
    ("counts", "owner", "way_out"),
    [
        (
            (1, 1, 1),
            None,
            "disruption budget database/db lets no pod go, as it wants 1 of 1: give its workload another replica, "
            "or delete it (kubectl -n database delete poddisruptionbudget db)",
        ),
        (
            (1, 1, 1),
            "authentik-db",
            "disruption budget database/db lets no pod go, as it wants 1 of 1: Cluster authentik-db makes it, so see "
            "that it has another healthy instance, or have it make no budget (CloudNativePG: spec.enablePDB: false)",
        ),
        (
            (1, 1, 2),
            None,
            "disruption budget database/db lets a pod go when 2 of its 2 are healthy, and 1 are: repair them "
            "(kubectl -n database get pods)",
        ),
    ],
    ids=["never", "an-operators", "not-now"],
)
def test_a_refusal_says_what_to_do_about_the_budget(
    node: ServerApi, counts: tuple[int, int, int], owner: str | None, way_out: str
) -> None:
    healthy, needed, expected = counts
    pod(node, "db")
    budget(node, "db", healthy=healthy, needed=needed, expected=expected, owner=owner)
    with pytest.raises(TalosError) as refused:
        drained(node, seconds=1)
    assert way_out in str(refused.value).splitlines()


class Counted(ByToken):
    """The API, and how many evictions it was asked for."""

    evictions = 0

    def request(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Answer:
        self.evictions += path.endswith("/eviction")
        return super().request(method, path, body, kind)


def test_a_pod_that_its_controller_puts_there_again_holds_nothing_up(node: ServerApi) -> None:
    api = Counted(node)
    pod(node, "instance-manager")
    with kubelet(node, again=True):
        Drain(api, NODE, 20).run()
    assert (names(node), api.evictions) == (["instance-manager"], 1)


class ReplacedMeanwhile(ByToken):
    """The API, where a pod is replaced by another of its name just before its eviction arrives."""

    def request(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Answer:
        if path == f"{PODS}/ordinal-0/eviction":
            self._api.request("DELETE", f"{PODS}/ordinal-0?gracePeriodSeconds=0")
            pod(self._api, "ordinal-0")
        return super().request(method, path, body, kind)


def test_a_pod_that_took_the_place_of_an_evicted_one_is_left_alone(node: ServerApi) -> None:
    pod(node, "ordinal-0")
    with kubelet(node):
        Drain(ReplacedMeanwhile(node), NODE, 20).run()
    assert names(node) == ["ordinal-0"]


def test_a_pod_that_does_not_stop_in_time_is_named(node: ServerApi) -> None:
    pod(node, "slow")
    with pytest.raises(TalosError, match="it still has database/slow: is stopping"):
        Drain(ByToken(node), NODE, 1).run()
