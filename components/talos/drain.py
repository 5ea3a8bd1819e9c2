"""Moves the pods off a node through the Eviction API, so that disruption budgets are respected to the end.

Owns the cordon and the evictions. Talos's own drain, before it shuts down, only warns after five minutes and goes on
(`Drain` in https://github.com/siderolabs/talos/blob/v1.13.9/pkg/kubernetes/kubernetes.go), which ends the last server
of a database as a power failure does. This one gives up at its deadline, names what is left, and lets the node take
pods again. Pods of DaemonSets and static pods belong to the node, and stay.
Must exist before: a Kubernetes API that answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from components.talos.api import TalosError
from components.talos.kubernetes_api import Answer, KubernetesApi

_POLL = 2.0
_PROGRESS = 15.0
_MIRROR = "kubernetes.io/config.mirror"
_MERGE = "application/merge-patch+json"


@dataclass(frozen=True)
class _Obstacle:
    """Why a pod is still there; and what to do about the disruption budget that keeps it, if one does."""

    reason: str
    remedy: str | None = None


class Drain:
    """The drain of one node; `seconds` is how long its pods may take altogether."""

    def __init__(self, api: KubernetesApi, node: str, seconds: float) -> None:
        self._api = api
        self._node = node
        self._seconds = seconds

    def run(self) -> None:
        """Returns when no pod is left that could run elsewhere; waits in the calling thread.

        Raises TalosError at the deadline, naming each pod that is left and what to do. Can be repeated at any time.
        """
        took_pods = self._cordon()
        try:
            if left := self._evict_all():
                raise TalosError(self._refusal(left, "takes pods again" if took_pods else "is cordoned as before"))
        except TalosError:
            if took_pods:
                self._set_unschedulable(None)
            raise

    def _cordon(self) -> bool:
        """Keeps new pods away. Whether the node took some before; not if it has no Node object."""
        node = self._api.request("GET", f"/api/v1/nodes/{self._node}")
        took_pods = node.status == HTTPStatus.OK and not node.content["spec"].get("unschedulable", False)
        if took_pods:
            self._set_unschedulable(True)
        return took_pods

    def _set_unschedulable(self, value: bool | None) -> None:
        answer = self._api.request(
            "PATCH", f"/api/v1/nodes/{self._node}", {"spec": {"unschedulable": value}}, kind=_MERGE
        )
        if answer.status != HTTPStatus.OK:
            raise TalosError(f"Node {self._node} was not cordoned or uncordoned: {answer.status} {answer.message}")

    def _evict_all(self) -> Mapping[str, _Obstacle]:
        """Evicts until no pod that was there is left, or the time is over; what is left.

        Later ones are put there by a controller that minds no cordon, and would come again and again.
        """
        started = reported = time.monotonic()
        obstacles: Mapping[str, _Obstacle] = {}
        leaving = {pod["metadata"]["uid"] for pod in self._pods()}
        while True:
            try:
                pods = [pod for pod in self._pods() if pod["metadata"]["uid"] in leaving]
                obstacles = {_name(pod): self._evict(pod) for pod in pods}
            except TalosError as error:
                # One API server may restart in the meantime. What was seen last stays true for the message.
                obstacles = {**obstacles, "the API": _Obstacle(str(error))}
            now = time.monotonic()
            if not obstacles or now - started > self._seconds:
                return obstacles
            if now - reported > _PROGRESS:
                reported = now
                print(f"{self._node} waits for {_listed(obstacles)} ({now - started:.0f} s)", flush=True)
            time.sleep(_POLL)

    def _pods(self) -> Sequence[Mapping[str, Any]]:
        query = urlencode({"fieldSelector": f"spec.nodeName={self._node}"})
        return [pod for pod in self._api.items(f"/api/v1/pods?{query}") if _moves(pod)]

    def _evict(self, pod: Mapping[str, Any]) -> _Obstacle:
        """Asks for the eviction of a pod that is there. It is gone only when it is no longer listed."""
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            return _Obstacle("is stopping")
        namespace, name = metadata["namespace"], metadata["name"]
        answer = self._api.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/pods/{name}/eviction",
            {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": namespace},
                # Not another pod of that name, which has taken its place on this node.
                "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
            },
        )
        if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NOT_FOUND):
            return _Obstacle("is stopping")
        return self._refused(namespace, metadata.get("labels") or {}, answer)

    def _refused(self, namespace: str, labels: Mapping[str, str], answer: Answer) -> _Obstacle:
        reason = next((cause["message"] for cause in answer.causes if cause.get("reason") == "DisruptionBudget"), None)
        if reason is None:
            return _Obstacle(f"{answer.status} {answer.message}")
        return _Obstacle(reason, self._remedy(namespace, labels))

    def _remedy(self, namespace: str, labels: Mapping[str, str]) -> str | None:
        """What to do about the budget of a pod with these labels that allows no disruption."""
        for budget in self._api.items(f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"):
            if budget.get("status", {}).get("disruptionsAllowed", 0) == 0 and _selects(budget, labels):
                return _way_out(budget)
        return None

    def _refusal(self, obstacles: Mapping[str, _Obstacle], condition: str) -> str:
        remedies = sorted({each.remedy for each in obstacles.values() if each.remedy})
        return "\n".join(
            [
                f"{self._node} stays in the cluster and {condition}: after {self._seconds:.0f} s it still has "
                f"{_listed(obstacles)}",
                *remedies,
                "then run `pulumi up` again; a pod that stops slowly may only need more time "
                "(homelab:talos.timeouts.drain)",
            ]
        )


def _way_out(budget: Mapping[str, Any]) -> str:
    metadata, status = budget["metadata"], budget["status"]
    called = f"disruption budget {metadata['namespace']}/{metadata['name']}"
    expected, healthy, needed = (
        int(status.get(key, 0)) for key in ("expectedPods", "currentHealthy", "desiredHealthy")
    )
    if expected > needed:
        return (
            f"{called} lets a pod go when {needed + 1} of its {expected} are healthy, and {healthy} are: "
            f"repair them (kubectl -n {metadata['namespace']} get pods)"
        )
    owners = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences") or []]
    if owners:
        return (
            f"{called} lets no pod go, as it wants {needed} of {expected}: {owners[0]} makes it, so see that it has "
            "another healthy instance, or have it make no budget (CloudNativePG: spec.enablePDB: false)"
        )
    return (
        f"{called} lets no pod go, as it wants {needed} of {expected}: give its workload another replica, or "
        f"delete it (kubectl -n {metadata['namespace']} delete poddisruptionbudget {metadata['name']})"
    )


def _selects(budget: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    selector = budget["spec"].get("selector") or {}
    wanted = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _matches(term, labels) for term in selector.get("matchExpressions") or []
    )


def _matches(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """One of a label selector's expressions: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"""
    key, values = term["key"], term.get("values") or []
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[term["operator"]]


def _moves(pod: Mapping[str, Any]) -> bool:
    """Whether a pod has to leave its node before the node goes: not if it belongs there, nor if it has ended."""
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences") or []
    return not (
        _MIRROR in (metadata.get("annotations") or {})
        or any(owner["kind"] == "DaemonSet" and owner.get("controller") for owner in owners)
        or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    )


def _name(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _listed(obstacles: Mapping[str, _Obstacle]) -> str:
    return "; ".join(f"{pod}: {obstacle.reason}" for pod, obstacle in sorted(obstacles.items()))
