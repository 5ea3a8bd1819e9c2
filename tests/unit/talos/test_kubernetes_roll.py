"""In which order a changed version of Kubernetes reaches what runs, against nodes that are played."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest
import yaml

from components.talos import images, waiting
from components.talos.api import TalosCredentials, TalosError
from components.talos.kubernetes_api import KubernetesApi
from components.talos.kubernetes_upgrade import KubernetesUpgrade

OLD, NEW = "v1.36.2", "v1.36.3"
ADDRESSES = {"controlplane-0": "192.0.2.1", "worker-0": "192.0.2.2", "worker-1": "192.0.2.3"}


class Api:
    """Kubernetes, which reports a version for each node's kubelet."""

    def __init__(self, reports: Mapping[str, str]) -> None:
        self.reports = dict(reports)
        self.asked: list[str] = []

    async def get(self, path: str) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        self.asked.append(name)
        ready = [{"type": "Ready", "status": "True"}]
        return {"status": {"nodeInfo": {"kubeletVersion": self.reports[name]}, "conditions": ready}}


def upgrade(api: Api, configured: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> KubernetesUpgrade:
    """An upgrade to `NEW`; `configured`: the version that each node's kubelet is to run by its configuration."""

    async def kubelet_of(_: object, name: str) -> str | None:
        return configured.get(name)

    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(KubernetesUpgrade, "_kubelet_of", kubelet_of)
    return KubernetesUpgrade(
        controlplanes={"controlplane-0": ADDRESSES["controlplane-0"]},
        workers={name: address for name, address in ADDRESSES.items() if name.startswith("worker")},
        credentials=TalosCredentials(b"", b"", b""),
        version=NEW,
        timeout=0.1,
        api=cast(KubernetesApi, api),
    )


def test_the_next_kubelet_is_not_replaced_while_one_before_it_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api({"controlplane-0": NEW, "worker-0": OLD, "worker-1": OLD})
    made = upgrade(api, {"controlplane-0": NEW, "worker-0": NEW, "worker-1": OLD}, monkeypatch)
    with pytest.raises(TalosError, match=rf"kubelet of worker-0 to run Kubernetes {NEW}: it reports {OLD}"):
        asyncio.run(made.earlier_kubelets_run("worker-1"))


def test_a_kubelet_whose_turn_comes_later_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api({"controlplane-0": NEW, "worker-0": OLD, "worker-1": OLD})
    made = upgrade(api, {"controlplane-0": NEW, "worker-0": OLD, "worker-1": OLD}, monkeypatch)
    asyncio.run(made.earlier_kubelets_run("worker-0"))
    assert api.asked == ["controlplane-0"]


def test_a_kubelet_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured already, as after an `up` that was killed, it runs only when this one has gone on."""
    api = Api({"controlplane-0": NEW, "worker-0": OLD, "worker-1": OLD})
    made = upgrade(api, {"controlplane-0": NEW, "worker-0": NEW, "worker-1": OLD}, monkeypatch)
    asyncio.run(made.earlier_kubelets_run("worker-0"))
    assert "worker-0" not in api.asked


def test_no_part_of_a_control_plane_is_newer_than_any_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks whichever API server answers: https://kubernetes.io/releases/version-skew-policy/"""
    replaced: list[tuple[str, str]] = []

    async def noted(_: object, name: str, part: str, __: str) -> None:
        replaced.append((part, name))

    async def outdated(_: object) -> list[str]:
        return []

    monkeypatch.setattr(KubernetesUpgrade, "_replace", noted)
    monkeypatch.setattr(KubernetesUpgrade, "_outdated", outdated)
    names = ["cp-1", "cp-2", "cp-3"]
    made = replace(upgrade(Api({}), {}, monkeypatch), controlplanes=dict.fromkeys(names, "192.0.2.1"))
    wanted = {key: {"image": NEW} for key in ("apiServer", "controllerManager", "scheduler")}
    asyncio.run(made.control_planes(yaml.safe_dump({"cluster": wanted})))
    assert replaced == [(part, name) for part in images.STATIC_PODS for name in names]
