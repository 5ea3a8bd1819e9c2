"""What runs on a site that is smaller than those of the repository's own stacks, on graphs recorded with fewer nodes.

A replica for which there is no node waits for ever, and the `up` with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.graph import Graph, reveal
from checks.program import Change, recorded

RELEASE = "kubernetes:helm.sh/v3:Release"
VAULT = "kubernetes:vault.banzaicloud.com/v1alpha1:Vault vault-instance"
HOW_MANY = {"replicas", "replicaCount", "instances"}
"""What charts and operators call the number of pods."""


def only(*names: str) -> Change:
    def change(settings: dict[str, Any]) -> None:
        settings["nodes"] = {name: settings["nodes"][name] for name in names}

    return change


def numbers(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each number of pods in some inputs, with where it stands."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in HOW_MANY and isinstance(inner, int | float):
                yield f"{path}.{key}", inner
            else:
                yield from numbers(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from numbers(inner, f"{path}[{position}]")


def several(graph: Graph) -> dict[str, Any]:
    """What is to run more than once, by its place."""
    found: dict[str, Any] = {}
    for node in graph.resources():
        if node.type.startswith("kubernetes:"):
            found.update(numbers(reveal(node.inputs), node.name))
    return {place: number for place, number in found.items() if number > 1}


def test_nothing_is_to_run_twice_on_a_single_node() -> None:
    graph = recorded("lab", change=only("controlplane-0"))
    assert several(graph) == {}
    assert graph[VAULT].inputs["spec"]["size"] == 1


def test_what_runs_on_control_planes_alone_does_so_once_where_there_is_one() -> None:
    graph = recorded("lab", change=only("controlplane-0", "worker-0", "worker-1"))
    driver = reveal(graph[f"{RELEASE} proxmox-csi"].inputs["values"])
    assert "node-role.kubernetes.io/control-plane" in driver["nodeSelector"]
    assert driver["replicaCount"] == 1


def test_vault_has_a_quorum_on_as_few_nodes_as_can_have_one() -> None:
    graph = recorded("lab", change=only("controlplane-0", "controlplane-1", "controlplane-2"))
    assert graph[VAULT].inputs["spec"]["size"] == 3
