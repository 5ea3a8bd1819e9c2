"""The lab's played operators leave alone what an operator of a real pod does itself."""

from __future__ import annotations

from typing import Any

import pytest

from lab.operators import databases
from lab.operators.world import Kind, Outcome, Rule, World, outcomes, repository

ZONE = Kind("ClusterZone", "dns.cav.enablers.ob/v1alpha2", "clusterzones", namespaced=False)
RULE = Rule(ZONE, "powerdns-operator", lambda _item, _world: Outcome(status={"played": True}))
IMAGE = "ghcr.io/powerdns-operator/powerdns-operator"


def operator(*images: str) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {
        "kind": "Deployment",
        "metadata": {"name": "powerdns-operator", "namespace": "powerdns"},
        "spec": {"template": {"spec": {"containers": containers}}},
        "status": {"availableReplicas": 1},
    }


def played(real: list[str], *images: str) -> bool:
    zone = {"kind": "ClusterZone", "metadata": {"name": "example.org"}}
    return bool(list(outcomes([RULE], World([operator(*images), zone], real))))


def test_an_operator_whose_pods_are_played_is_played() -> None:
    assert played([], f"{IMAGE}:v0.6.0")


@pytest.mark.parametrize("reference", [":v0.6.0", "@sha256:00", ":v0.6.0@sha256:00", ""])
def test_an_operator_whose_pods_run_is_not_played(reference: str) -> None:
    assert not played([IMAGE], f"{IMAGE}{reference}")


def test_an_operator_of_which_one_image_is_missing_is_played() -> None:
    assert played([IMAGE], f"{IMAGE}:v0.6.0", "example.org/beside:1")


def test_the_port_of_a_registry_is_no_tag() -> None:
    assert repository("registry.example.org:5000/some/image") == "registry.example.org:5000/some/image"


def test_a_played_operator_finds_a_server_that_runs() -> None:
    """PowerDNS itself has an image; its operator here has none, and calls it."""
    server = {
        "kind": "Deployment",
        "metadata": {"name": "powerdns", "namespace": "powerdns"},
        "spec": {"template": {"spec": {"containers": [{"image": "docker.io/powerdns/pdns-auth-49:4.9.11"}]}}},
        "status": {"availableReplicas": 2},
    }
    zone = {"kind": "ClusterZone", "metadata": {"name": "lab.test"}}
    [rule] = [each for each in databases.RULES if each.operator == "powerdns-operator"]
    outcome = rule.play(zone, World([server, zone], ["docker.io/powerdns/pdns-auth-49"]))
    assert outcome is not None
    assert outcome.status["syncStatus"] == "Succeeded"
