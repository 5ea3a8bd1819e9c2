"""`python -m program node-removal`: takes a node out of its cluster before its VM is deleted.

Owns the command that `NodeRemovals` has Pulumi run for a node that is no longer wanted. A VM that simply disappears
leaves behind an etcd member that counts towards the quorum, and a Node whose DaemonSet pods stay Terminating forever.

In order: its pods are evicted (`drain.py`); a control plane leaves etcd, if the others keep a quorum without it; the
node shuts down; its Node is deleted. If the node no longer answers, the remaining control planes remove it. Nothing on
its disks is wiped, and a rerun continues where an earlier one failed or was killed.

Everything comes through the environment (`PLAN`, `CREDENTIALS`), so that no secret is in a command line.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from components.kit.command_plan import CommandPlan
from components.talos.api import (
    CREDENTIALS,
    EtcdMember,
    TalosCredentials,
    TalosError,
    TalosNode,
    answers,
    is_member,
    service_runs,
)
from components.talos.drain import Drain
from components.talos.kubernetes_api import KubernetesApi
from components.talos.power import DRAIN_SECONDS, SHUTDOWN_SECONDS

PLAN = "HOMELAB_NODE_REMOVAL"
"""The variable with a `Plan`, as JSON."""

_QUESTION_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Plan(CommandPlan):
    """The node to remove, and the address of each control plane by name, its own included if it is one.

    drain_seconds: how long its pods may take to leave. Plans that were recorded without it have the default.
    """

    node: str
    address: str
    controlplanes: Mapping[str, str]
    drain_seconds: float = DRAIN_SECONDS


class NodeRemoval:
    """The removal of one node. Each method raises TalosError when its step fails."""

    def __init__(self, plan: Plan, credentials: TalosCredentials, off_seconds: float = SHUTDOWN_SECONDS) -> None:
        self._plan = plan
        self._credentials = credentials
        self._off_seconds = off_seconds

    async def run(self) -> None:
        """All steps, with a printed line for each."""
        via = await self._remaining_control_plane()
        runs = await is_member(self._plan.address, self._credentials)
        # A node that may not leave etcd keeps its pods.
        await self._etcd_member_that_may_leave(via)
        if runs:
            await self._drain(via)
        await self._leave_etcd(via, runs)
        if runs:
            await self._shut_down()
        await self._forget(via)
        if runs:
            print(f"{self._plan.node} has left the cluster")
        else:
            print(f"{self._plan.node} does not answer on {self._plan.address}, and was removed from the cluster")

    def _node(self, address: str) -> TalosNode:
        return TalosNode(address, self._credentials)

    async def _remaining_control_plane(self) -> str:
        """Address of a control plane that stays and can list the etcd members."""
        others = {name: address for name, address in self._plan.controlplanes.items() if name != self._plan.node}
        if not others:
            raise TalosError(
                f"{self._plan.node} is the only control plane, and the cluster ends with it; start a new one with "
                "`pulumi destroy` and `pulumi up`"
            )
        reasons = []
        for name, address in others.items():
            try:
                async with self._node(address) as node:
                    await node.etcd_members()
                return address
            except TalosError as error:
                reasons.append(f"{name}: {error}")
        raise TalosError(f"{self._plan.node} cannot be removed from its cluster: {'; '.join(reasons)}")

    async def _etcd_member_that_may_leave(self, via: str) -> EtcdMember | None:
        """The node's member of etcd; None if it has none. Raises TalosError if the others need it."""
        name = self._plan.node
        if name not in self._plan.controlplanes:
            return None
        async with self._node(via) as other:
            members = {member.name: member for member in sorted(await other.etcd_members(), key=lambda each: each.name)}
        if (own := members.pop(name, None)) is None:
            return None
        wanted = len(self._plan.controlplanes)
        if len(members) < wanted // 2 + 1:
            raise TalosError(
                f"{name} stays in etcd: of {wanted} control planes only {', '.join(members) or 'none'} would be left; "
                "change one at a time, and let it join before the next. If this is intended: "
                f"talosctl -n {self._plan.address} etcd leave, and repeat"
            )
        healthy = [
            member.name for member in members.values() if await service_runs(member.address, self._credentials, "etcd")
        ]
        quorum = len(members) // 2 + 1
        if len(healthy) < quorum:
            raise TalosError(
                f"{name} stays in etcd: of the others ({', '.join(members)}) {quorum} must be healthy, and "
                f"{', '.join(healthy) or 'none'} is; look at them with `talosctl etcd members`, and repeat"
            )
        return own

    async def _drain(self, via: str) -> None:
        async with self._node(via) as node:
            api = await KubernetesApi.of(node)
        print(f"{self._plan.node} is draining its pods", flush=True)
        await asyncio.to_thread(Drain(api, self._plan.node, self._plan.drain_seconds).run)

    async def _leave_etcd(self, via: str, runs: bool) -> None:
        # Asked again: the drain may have taken minutes.
        if (own := await self._etcd_member_that_may_leave(via)) is None:
            return
        async with self._node(self._plan.address if runs else via) as node:
            await (node.leave_etcd() if runs else node.remove_etcd_member(own.id))
        print(f"{self._plan.node} is no longer a member of etcd", flush=True)

    async def _shut_down(self) -> None:
        name = self._plan.node
        async with self._node(self._plan.address) as node:
            await node.shut_down()
        print(f"{name} is shutting down", flush=True)
        deadline, silent = time.monotonic() + self._off_seconds, 0
        # Three times in a row: a single probe may get lost.
        while silent < 3:
            silent = 0 if await answers(self._plan.address, _QUESTION_SECONDS) else silent + 1
            if time.monotonic() > deadline:
                raise TalosError(
                    f"{name} is still on after {self._off_seconds:.0f} s, and its VM was not touched; see what it "
                    f"waits for (talosctl -n {self._plan.address} dmesg, and the VM's console in Proxmox), and repeat"
                )
            await asyncio.sleep(1)

    async def _forget(self, via: str) -> None:
        async with self._node(via) as node:
            api = await KubernetesApi.of(node)
        name = self._plan.node
        answer = await asyncio.to_thread(api.request, "DELETE", f"/api/v1/nodes/{name}")
        if answer.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND):
            raise TalosError(
                f"Node {name} was not deleted: the Kubernetes API says {answer.status}: {answer.message}; repeat"
            )


def main(_arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Remove the node; return 1, with the reason on standard error, if that fails."""
    plan = Plan.loads(environment[PLAN])
    credentials = TalosCredentials.loads(environment[CREDENTIALS])
    try:
        asyncio.run(NodeRemoval(plan, credentials).run())
    except TalosError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
