"""A change of release on a running cluster: whether it may begin, and in which order Talos and Kubernetes follow.

Owns the order: the way is refused before any node is touched if it is too long; Talos goes to the wanted release on
every node, one by one; then the control planes' static pods go to the wanted Kubernetes, then the bootstrap manifests,
and the kubelets one by one. Talos first, as each release supports a newer Kubernetes than the one before it.

Does not own the rules of the ways (`releases.py`), the steps in Kubernetes (`kubernetes_upgrade.py`), nor the upgrade
of one node, which `hooks.py` hands in. A node that does not answer has no say in what runs: it may be dead, or not made
yet. Kubernetes counts as what a node is configured for, which can be read when no API server answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from components.talos import bootstrap_manifests, images
from components.talos.api import TalosCredentials, TalosError, TalosNode
from components.talos.kubernetes_api import KubernetesApi
from components.talos.kubernetes_upgrade import KubernetesUpgrade
from components.talos.releases import Cluster, refusals
from components.talos.waiting import until


@dataclass(frozen=True, kw_only=True)
class VersionChange:
    """The change to the releases in the settings, for one `up`. Every method raises TalosError with a remedy.

    controlplanes, workers: addresses by name, in the order in which they are changed.
    talos, kubernetes: the wanted releases, such as v1.13.9.
    node_timeout, api_timeout: seconds for a static pod or kubelet, and for what the bootstrap manifests run.
    """

    controlplanes: Mapping[str, str]
    workers: Mapping[str, str]
    credentials: Callable[[], Awaitable[TalosCredentials]]
    talos: str
    kubernetes: str
    node_timeout: float
    api_timeout: float
    _done: set[str] = field(default_factory=set, init=False, repr=False)
    _found: list[KubernetesUpgrade] = field(default_factory=list, init=False, repr=False)

    async def may_begin(self) -> None:
        """Refuses releases that are too far from what the nodes run; asks them once."""
        if self.may_begin.__name__ in self._done:
            return
        cluster = await self._running()
        if found := list(refusals(cluster, talos=self.talos, kubernetes=self.kubernetes)):
            raise TalosError("; ".join(found) + ". No node was touched")
        self._done.add(self.may_begin.__name__)

    async def control_planes(self, wanted: str, upgrade: Callable[[str], Awaitable[None]]) -> None:
        """Takes all control planes' static pods to the Kubernetes of `wanted`, a control plane's configuration.

        upgrade: takes one node to the wanted Talos, and is called first for each node that runs another.
        """
        steps = await self._steps()
        if await steps.is_pending():
            for name, address in {**steps.controlplanes, **steps.workers}.items():
                async with TalosNode(address, await self.credentials()) as node:
                    current = await node.version() == self.talos
                if not current:
                    await upgrade(name)
        await steps.control_planes(wanted)

    async def kubelet_may_follow(self, name: str) -> bool:
        """Waits for all control planes, and for the kubelets before this one; whether this one's node is ready."""
        steps = await self._steps()
        await steps.control_planes_run()
        await steps.earlier_kubelets_run(name)
        return await steps.is_ready(name)

    async def kubelet_runs(self, name: str, *, ready: bool) -> None:
        """Waits until a node's kubelet reports the wanted Kubernetes, and that the node is ready if it was before."""
        await (await self._steps()).kubelet_runs(name, ready=ready)

    async def manifests(self) -> None:
        """Brings CoreDNS and its like up to date, once, as soon as every control plane runs the wanted Talos."""
        if self.manifests.__name__ in self._done:
            return
        steps = await self._steps()
        for address in steps.controlplanes.values():
            async with TalosNode(address, steps.credentials) as node:
                if await node.version() != self.talos:
                    return
        async with TalosNode(next(iter(steps.controlplanes.values())), steps.credentials) as node:
            await bootstrap_manifests.synchronize(node, steps.api, self.api_timeout)
        self._done.add(self.manifests.__name__)

    async def _steps(self) -> KubernetesUpgrade:
        """The steps for the nodes that Kubernetes knows; a new one gets the wanted releases with its configuration."""
        if not self._found:
            credentials, apis, known = await self.credentials(), list[KubernetesApi](), set[str]()

            async def probe() -> str | None:
                if not apis:
                    apis.append(await self._api(credentials))
                found = await apis[0].get("/api/v1/nodes") or {}
                known.update(node["metadata"]["name"] for node in found["items"])
                return None

            remedy = "look at the API servers: talosctl logs -k"
            await until("the Kubernetes API to name its nodes", probe, self.api_timeout, remedy)
            self._found.append(
                KubernetesUpgrade(
                    api=apis[0],
                    controlplanes={name: self.controlplanes[name] for name in self.controlplanes if name in known},
                    workers={name: self.workers[name] for name in self.workers if name in known},
                    credentials=credentials,
                    version=self.kubernetes,
                    timeout=self.node_timeout,
                )
            )
        return self._found[0]

    async def _api(self, credentials: TalosCredentials) -> KubernetesApi:
        async with AsyncExitStack() as opened:
            nodes = [TalosNode(address, credentials) for address in self.controlplanes.values()]
            return await KubernetesApi.of(*[await opened.enter_async_context(node) for node in nodes])

    async def _running(self) -> Cluster:
        addresses, credentials = {**self.controlplanes, **self.workers}, await self.credentials()
        answers = await asyncio.gather(*[_ask(address, credentials) for address in addresses.values()])
        nodes = {name: answer for name, answer in zip(addresses, answers, strict=True) if answer is not None}
        return Cluster(
            talos={name: talos for name, (talos, _) in nodes.items()},
            servers={
                name: _version(configuration, images.STATIC_PODS[0])
                for name, (_, configuration) in nodes.items()
                if name in self.controlplanes
            },
            kubelets={name: _version(configuration, images.KUBELET) for name, (_, configuration) in nodes.items()},
        )


async def _ask(address: str, credentials: TalosCredentials) -> tuple[str, str] | None:
    """A node's Talos and its configuration; None if it does not answer."""
    async with TalosNode(address, credentials) as node:
        try:
            return await node.version(), await node.configuration()
        except TalosError:
            return None


def _version(configuration: str, component: str) -> str:
    return images.version(images.image(configuration, component))
