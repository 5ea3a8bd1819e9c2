"""What Talos has put into Kubernetes, brought up to date: what is applied, and until when an upgrade waits for it."""

from __future__ import annotations

import asyncio
import copy
from typing import Any, cast

import pytest

from components.talos import waiting
from components.talos.api import TalosError, TalosNode
from components.talos.bootstrap_manifests import synchronize
from components.talos.kubernetes_api import Answer, KubernetesApi, KubernetesError

MANIFEST: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "coredns"},
    "spec": {"replicas": 2},
}
ROLLED_OUT = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2}


class Node:
    """A control plane whose Talos wants one object."""

    def __init__(self, version: str = "v1.13.9") -> None:
        self._version = version

    async def version(self) -> str:
        return self._version

    async def bootstrap_manifests(self) -> list[dict[str, Any]]:
        return [copy.deepcopy(MANIFEST)]


class Api:
    """An API server with that object, or without; after it was applied, its status is one after the other."""

    def __init__(self, *statuses: dict[str, Any] | None, there: bool = True, changes: bool = True) -> None:
        self.found = MANIFEST | {"metadata": {"name": "coredns", "generation": 1}, "status": ROLLED_OUT}
        self.there, self.changes, self.statuses = there, changes, list(statuses)
        self.applied: list[bool] = []
        self.conflict: str | None = None

    async def path(self, _: dict[str, Any]) -> str:
        return "/coredns"

    async def get(self, _: str) -> dict[str, Any] | None:
        if not self.there:
            return None
        if self.applied and self.statuses:
            self.found = self.found | {"status": self.statuses.pop(0)}
        return self.found

    async def apply(self, manifest: dict[str, Any], *, manager: str, force: bool) -> dict[str, Any]:
        assert manager == "talos"
        if self.conflict and not force:
            causes = [{"message": f'conflict with "{self.conflict}"'}]
            raise KubernetesError("PATCH", Answer(409, {"details": {"causes": causes}}))
        self.applied.append(force)
        if self.changes:
            self.found = self.found | {"metadata": manifest["metadata"] | {"generation": 2}}
        return self.found


def brought_up_to_date(api: Api, *, version: str = "v1.13.9", timeout: float = 60) -> Api:
    asyncio.run(synchronize(cast(TalosNode, Node(version)), cast(KubernetesApi, api), timeout))
    return api


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing sleeps between two questions."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.0)


def test_what_is_missing_is_left_to_talos() -> None:
    assert brought_up_to_date(Api(there=False)).applied == []


@pytest.mark.parametrize(
    "before",
    [
        {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2},
        {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2},
        {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 0},
    ],
    ids=["not-yet-seen", "old-pods-run", "none-is-available"],
)
def test_an_upgrade_goes_on_only_when_the_new_pods_run(before: dict[str, Any]) -> None:
    api = brought_up_to_date(Api(before, before, ROLLED_OUT))
    assert api.statuses == []


def test_new_pods_that_never_run_stop_the_upgrade() -> None:
    old = {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2}
    with pytest.raises(TalosError, match="1 of 2 pods are new"):
        brought_up_to_date(Api(*[old] * 3, old), timeout=-1)


def test_what_did_not_change_is_not_waited_for() -> None:
    unfinished: dict[str, Any] = {"observedGeneration": 1}
    assert brought_up_to_date(Api(unfinished, changes=False), timeout=-1).applied == [False]


@pytest.mark.parametrize(("version", "marked"), [("v1.12.6", False), ("v1.13.9", True)])
def test_what_talos_applies_itself_stays_in_its_inventory(version: str, marked: bool) -> None:
    api = brought_up_to_date(Api(ROLLED_OUT), version=version)
    assert ("config.k8s.io/owning-inventory" in api.found["metadata"].get("annotations", {})) is marked


def test_what_somebody_else_has_changed_is_left_to_them() -> None:
    api = Api()
    api.conflict = "somebody"
    assert brought_up_to_date(api).applied == []


def test_what_an_earlier_talos_has_written_is_taken_over() -> None:
    api = Api(ROLLED_OUT)
    api.conflict = "talos"
    assert brought_up_to_date(api).applied == [True]
