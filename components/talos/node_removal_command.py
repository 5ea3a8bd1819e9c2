"""`python -m program node-removal`: takes a node out of its cluster before its VM is deleted.

Owns the command that `NodeRemovals` has Pulumi run for a node that is no longer wanted. A VM that simply disappears
leaves behind an etcd member that counts towards the quorum, and a Node whose DaemonSet pods stay Terminating forever.

In order: a control plane leaves etcd, if the others keep a quorum without it; the node shuts down, before which Talos
evicts its pods, respecting disruption budgets; its Node is deleted. If the node no longer answers, the remaining
control planes remove it. Nothing on its disks is wiped, and a rerun continues where an earlier one failed.

Everything comes through the environment (`PLAN`, `CREDENTIALS`), so that no secret is in a command line.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import sys
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from components.kit.ports import KUBERNETES_API
from components.talos.api import (
    TalosCredentials,
    TalosError,
    TalosNode,
    answers,
    client_context,
    is_member,
    service_runs,
)
from components.talos.power import SHUTDOWN_SECONDS

PLAN, CREDENTIALS = "HOMELAB_NODE_REMOVAL", "HOMELAB_TALOS_CREDENTIALS"
"""The variables that the command reads, both JSON: a `Plan`, and a list of CA, certificate and key, each in base64."""

_QUESTION_SECONDS = 3.0
_API_TIMEOUT = 30


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The node to remove, and the address of each control plane by name, its own included if it is one."""

    node: str
    address: str
    controlplanes: Mapping[str, str]

    def dumps(self) -> str:
        """The value of the variable `PLAN`."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Plan:
        """The reverse of `dumps`."""
        return cls(**json.loads(text))


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
        if self._plan.node in self._plan.controlplanes:
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

    async def _leave_etcd(self, via: str, runs: bool) -> None:
        name = self._plan.node
        async with self._node(via) as other:
            members = {member.name: member for member in sorted(await other.etcd_members(), key=lambda each: each.name)}
        if (own := members.pop(name, None)) is None:
            return
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
        async with self._node(self._plan.address if runs else via) as node:
            await (node.leave_etcd() if runs else node.remove_etcd_member(own.id))
        print(f"{name} is no longer a member of etcd", flush=True)

    async def _shut_down(self) -> None:
        name = self._plan.node
        async with self._node(self._plan.address) as node:
            await node.shut_down()
        print(f"{name} is draining its pods and shutting down", flush=True)
        deadline, silent = time.monotonic() + self._off_seconds, 0
        # Three times in a row: a single probe may get lost.
        while silent < 3:
            silent = 0 if await answers(self._plan.address, _QUESTION_SECONDS) else silent + 1
            if time.monotonic() > deadline:
                raise TalosError(
                    f"{name} is still on after {self._off_seconds:.0f} s, and its VM was not touched; see which pods "
                    f"block it (kubectl get pdb -A; kubectl get pods -A --field-selector spec.nodeName={name}), "
                    "and repeat"
                )
            await asyncio.sleep(1)

    async def _forget(self, via: str) -> None:
        async with self._node(via) as node:
            kubeconfig = yaml.safe_load(_first_file(await node.kubeconfig()))
        await asyncio.to_thread(_delete_node, via, kubeconfig, self._plan.node)


def _first_file(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        content = files.extractfile(files.getmembers()[0])
        return content.read() if content else b""


def _delete_node(address: str, kubeconfig: Any, name: str) -> None:
    """Asks the control plane that is known to answer, not the VIP, which may be about to move."""
    [cluster], [user] = kubeconfig["clusters"], kubeconfig["users"]
    context = client_context(
        TalosCredentials.decoded(
            cluster["cluster"]["certificate-authority-data"],
            user["user"]["client-certificate-data"],
            user["user"]["client-key-data"],
        )
    )
    connection = http.client.HTTPSConnection(address, KUBERNETES_API, context=context, timeout=_API_TIMEOUT)
    try:
        connection.request("DELETE", f"/api/v1/nodes/{name}")
        answer = connection.getresponse()
        reason = answer.read().decode(errors="replace")
    except OSError as error:
        raise TalosError(f"Node {name} was not deleted: https://{address}:{KUBERNETES_API}: {error}; repeat") from None
    finally:
        connection.close()
    if answer.status not in (200, 202, 404):
        url = f"https://{address}:{KUBERNETES_API}"
        raise TalosError(f"Node {name} was not deleted: {url} says {answer.status}: {reason}")


def main(_arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Remove the node; return 1, with the reason on standard error, if that fails."""
    plan = Plan.loads(environment[PLAN])
    credentials = TalosCredentials.decoded(*json.loads(environment[CREDENTIALS]))
    try:
        asyncio.run(NodeRemoval(plan, credentials).run())
    except TalosError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
