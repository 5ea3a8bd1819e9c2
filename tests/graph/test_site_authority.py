"""A site's own authority reaches whoever talks to Proxmox, the commands of a destroy included."""

from __future__ import annotations

import json
from typing import Any

import pytest

from checks.graph import Graph
from checks.program import recorded
from components.proxmox.vm_command import PLAN as VM_PLAN
from components.storage.csi_volumes_command import PLAN as VOLUMES_PLAN
from tests.unit.settings import fixtures

AUTHORITY = fixtures.read(fixtures.HERE / "accepted/authorities.yaml")["change"]["site.ca"]


@pytest.fixture(scope="module")
def graph() -> Graph:
    def verified(settings: dict[str, Any]) -> None:
        settings["site"] |= {"ca": AUTHORITY, "insecure": False}

    return recorded(change=verified)


@pytest.mark.parametrize("variable", [VM_PLAN, VOLUMES_PLAN])
def test_the_commands_trust_the_authority_of_the_site(graph: Graph, variable: str) -> None:
    environments = [node.inputs.get("environment") or {} for node in graph.of_type("command:local:Command")]
    trusted = [json.loads(each[variable])["ca"] for each in environments if variable in each]
    assert trusted
    assert set(trusted) == {AUTHORITY}
