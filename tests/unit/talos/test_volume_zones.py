"""Which volumes a change of nodes would strand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from components.talos import volume_zones_command
from components.talos.api import TalosCredentials, TalosError
from components.talos.kubernetes_api import KubernetesApi
from components.talos.volume_zones import VolumeZonesArgs
from components.talos.volume_zones_command import Plan, check, stranded
from tests.unit.talos.test_upgrade_checks import NO_CREDENTIALS


def node(zone: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}


def volume(*alternatives: Sequence[str], phase: str = "Bound") -> dict[str, Any]:
    """A volume that can be used in the zones of any alternative; with none, anywhere."""
    region = {"key": "topology.kubernetes.io/region", "operator": "In", "values": ["lab"]}
    terms = [
        {
            "matchExpressions": [region]
            + ([{"key": "topology.kubernetes.io/zone", "operator": "In", "values": zones}] if zones else [])
        }
        for zones in alternatives
    ]
    return {
        "metadata": {"name": "pvc-1"},
        "spec": {
            "claimRef": {"namespace": "database", "name": "db-1"},
            **({"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if terms else {}),
        },
        "status": {"phase": phase},
    }


NODES = [node("pve1"), node("pve2")]


def test_a_volume_whose_only_zone_has_no_node_any_more_is_named_with_its_claim() -> None:
    assert stranded([volume(["pve2"])], NODES, ["pve1"]) == [("pvc-1 of database/db-1", "pve2")]


@pytest.mark.parametrize(
    "harmless",
    [
        volume(["pve1"]),
        volume(["pve1"], ["pve2"]),
        volume(["pve1", "pve2"]),
        volume([]),
        volume(["pve2"], []),
        volume(),
        volume(["pve2"], phase="Released"),
        volume(["pve9"]),
    ],
    ids=["elsewhere", "replicated", "in-both", "shared", "also-shared", "anywhere", "no-claim", "stranded-before"],
)
def test_other_volumes_hold_nothing_up(harmless: dict[str, Any]) -> None:
    assert stranded([harmless], NODES, ["pve1"]) == []


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = Plan(zones=["pve1"], controlplanes=["192.0.2.1"])
    assert Plan.loads(plan.dumps()) == plan


def test_a_cluster_without_a_node_for_ordinary_pods_is_refused() -> None:
    with pytest.raises(ValueError, match="zones: none"):
        VolumeZonesArgs(zones=frozenset(), controlplanes=[], client=NO_CREDENTIALS)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that answers, with a node in each zone and one volume, on pve2."""
    there = {"/api/v1/persistentvolumes": [volume(["pve2"])], "/api/v1/nodes": NODES}

    async def api(*_: object) -> SimpleNamespace:
        return SimpleNamespace(items=there.__getitem__)

    monkeypatch.setattr(volume_zones_command, "_api", api)


def asked(*zones: str, controlplanes: Sequence[str] = ("192.0.2.1",)) -> None:
    nobody = TalosCredentials(b"", b"", b"")
    asyncio.run(check(Plan(zones=zones, controlplanes=controlplanes), nobody))


@pytest.mark.usefixtures("cluster")
def test_a_change_that_strands_a_volume_is_refused_with_its_zone_and_its_claim() -> None:
    with pytest.raises(TalosError, match="left on pve2, and these volumes live only there: pvc-1 of database/db-1"):
        asked("pve1")


@pytest.mark.usefixtures("cluster")
def test_a_change_that_strands_nothing_goes_on() -> None:
    asked("pve1", "pve2")


def test_a_cluster_that_is_not_there_yet_strands_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> None:
        return None

    monkeypatch.setattr(volume_zones_command, "_api", none)
    asked("pve1")


def test_a_control_plane_that_does_not_answer_leaves_the_question_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is down is no reason to let the last one beside the volumes go."""

    class Client:
        def __init__(self, address: str, _: object) -> None:
            self.address = address

        async def __aenter__(self) -> Client:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def etcd_members(self) -> None:
            if self.address == "192.0.2.1":
                raise TalosError("nothing came")

    there = {"/api/v1/persistentvolumes": [volume(["pve2"])], "/api/v1/nodes": NODES}

    async def api(*_: object) -> SimpleNamespace:
        return SimpleNamespace(items=there.__getitem__)

    monkeypatch.setattr(volume_zones_command, "TalosNode", Client)
    monkeypatch.setattr(KubernetesApi, "of", api)
    with pytest.raises(TalosError, match="left on pve2"):
        asked("pve1", controlplanes=["192.0.2.1", "192.0.2.2"])
