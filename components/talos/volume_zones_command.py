"""`python -m program volume-zones`: refuses that the last node of a zone leaves while volumes live only there.

Owns the question that `VolumeZones` has Pulumi ask before any node changes. A volume of Proxmox CSI is on a datastore
of one Proxmox host, which is its zone; without a node there its pods stay Pending, and nothing says why. Changes
nothing, so a rerun asks again.

Everything comes through the environment (`PLAN`, `CREDENTIALS`), so that no secret is in a command line.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.kit.command_plan import CommandPlan
from components.talos.api import CREDENTIALS, TalosCredentials, TalosError, TalosNode
from components.talos.config import ZONE_LABEL
from components.talos.kubernetes_api import KubernetesApi

PLAN = "HOMELAB_VOLUME_ZONES"
"""The variable with a `Plan`, as JSON."""


@dataclass(frozen=True, kw_only=True)
class Plan(CommandPlan):
    """The zones that will have a node for ordinary pods, and the addresses of control planes."""

    zones: Sequence[str]
    controlplanes: Sequence[str]


def stranded(
    volumes: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]], zones: Iterable[str]
) -> list[tuple[str, str]]:
    """Claim and zones of each bound volume that nodes reach now and none in `zones` will.

    Volumes that no node reaches any more are not named: this change does not take them from anybody.
    """
    left = set(zones)
    now = {node["metadata"].get("labels", {}).get(ZONE_LABEL) for node in nodes}
    found = []
    for volume in volumes:
        terms = _zone_terms(volume)
        if volume.get("status", {}).get("phase") != "Bound" or not terms or not all(terms):
            continue
        lives = set().union(*terms)
        if lives & now and not lives & left:
            claim = volume["spec"]["claimRef"]
            name = f"{volume['metadata']['name']} of {claim['namespace']}/{claim['name']}"
            found.append((name, ", ".join(sorted(lives))))
    return sorted(found)


def _zone_terms(volume: Mapping[str, Any]) -> list[set[str]]:
    """For each alternative of where a volume can be used: the zones that it names; empty if it names none."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required") or {}
    return [
        {
            value
            for expression in term.get("matchExpressions") or []
            if expression["key"] == ZONE_LABEL and expression["operator"] == "In"
            for value in expression["values"]
        }
        for term in required.get("nodeSelectorTerms") or []
    ]


async def check(plan: Plan, credentials: TalosCredentials) -> None:
    """Ask the cluster.

    Raises TalosError with the volumes that would be stranded, or when the API of a cluster that is up does not answer.
    """
    api = await _api(plan.controlplanes, credentials)
    if api is None:
        # A new cluster, which has no volumes; or one that is down, which no node leaves before it answers again.
        return
    volumes = await asyncio.to_thread(api.items, "/api/v1/persistentvolumes")
    nodes = await asyncio.to_thread(api.items, "/api/v1/nodes")
    if not (lost := stranded(volumes, nodes, plan.zones)):
        return
    hosts = ", ".join(sorted({zone for _, zone in lost}))
    raise TalosError(
        f"no node that takes pods would be left on {hosts}, and these volumes live only there: "
        f"{'; '.join(name for name, _ in lost)}. No node was changed. Keep such a node there; or move each volume "
        "(pvecsictl migrate -n NAMESPACE CLAIM HOST, see "
        "https://github.com/sergelogvinov/proxmox-csi-plugin/blob/main/docs/pvecsictl.md); or delete claims whose data "
        "is elsewhere too, such as that of a database's replica, with their pods; and run `pulumi up` again"
    )


async def _api(controlplanes: Sequence[str], credentials: TalosCredentials) -> KubernetesApi | None:
    """The API on the first control plane whose etcd answers; None if no cluster is up."""
    for address in controlplanes:
        async with TalosNode(address, credentials) as node:
            try:
                await node.etcd_members()
                return await KubernetesApi.of(node)
            except TalosError:
                continue
    return None


def main(_arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Check; return 1, with the reason on standard error, if volumes would be stranded."""
    plan = Plan.loads(environment[PLAN])
    credentials = TalosCredentials.loads(environment[CREDENTIALS])
    try:
        asyncio.run(check(plan, credentials))
    except TalosError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
