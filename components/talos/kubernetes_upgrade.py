"""A changed Kubernetes version on a running cluster, in the order of `talosctl upgrade-k8s`.

Owns the steps that a new machine configuration does not take by itself: Talos applies it at once and waits for nothing.
In order: every node pulls the new images; each static pod is replaced on one control plane after another, first all API
servers, then all controller-managers, then all schedulers, so that none of them ever talks to an older API server;
then the kubelets may follow, one node at a time, with the nodes' own configurations (`cluster.py`).
After https://github.com/siderolabs/talos/blob/v1.13.9/pkg/cluster/kubernetes/talos_managed.go, whose checks for removed
API resources and flags are left out: the program sets no such flag.

Does not own the bootstrap manifests (`bootstrap_manifests.py`), nor whether the way to the version is allowed
(`version_change.py`). Each step is skipped where it is done, so that an `up` continues where an earlier one failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.talos import images
from components.talos.api import ImageNamespace, TalosCredentials, TalosError, TalosNode
from components.talos.kubernetes_api import KubernetesApi
from components.talos.waiting import until


@dataclass(frozen=True, kw_only=True)
class KubernetesUpgrade:
    """The upgrade of one cluster. Every method raises TalosError when a step fails, or is not done in time.

    controlplanes, workers: addresses by name, in the order in which they are changed.
    version: the wanted Kubernetes, such as v1.36.3.
    timeout: seconds for each static pod and each kubelet.
    api: the Kubernetes API at any control plane.
    """

    controlplanes: Mapping[str, str]
    workers: Mapping[str, str]
    credentials: TalosCredentials
    version: str
    timeout: float
    api: KubernetesApi

    async def is_pending(self) -> bool:
        """Whether a static pod of any control plane has yet to be configured for the version."""
        return bool(await self._outdated())

    async def control_planes(self, wanted: str) -> None:
        """Takes the static pods of all control planes to the images of `wanted`, a control plane's configuration."""
        if await self._outdated():
            await self._pull(wanted)
        for part in images.STATIC_PODS:
            for name in self.controlplanes:
                await self._replace(name, part, images.image(wanted, part))

    async def control_planes_run(self) -> None:
        """Waits until every static pod of every control plane runs the version: before that, no kubelet may."""
        for name in self.controlplanes:
            for part in images.STATIC_PODS:
                await self._pod_runs(name, part)

    async def earlier_kubelets_run(self, name: str) -> None:
        """Waits until every other node whose kubelet has been configured for the version reports it."""
        for other in [*self.controlplanes, *self.workers]:
            if other != name and await self._kubelet_of(other) == self.version:
                await self.kubelet_runs(other)

    async def kubelet_runs(self, name: str, *, ready: bool = False) -> None:
        """Waits until a node's kubelet reports the version, and that the node is ready if that is wanted."""

        async def probe() -> str | None:
            node = await self._object(f"/api/v1/nodes/{name}")
            runs = node["status"]["nodeInfo"]["kubeletVersion"]
            if runs != self.version:
                return f"it reports {runs}"
            return None if not ready or _condition(node, "Ready") else "the node is not ready"

        await until(
            f"kubelet of {name} to run Kubernetes {self.version}",
            probe,
            self.timeout,
            f"no later node was touched; look at it with: talosctl -n {self._address(name)} logs kubelet",
        )

    async def is_ready(self, name: str) -> bool:
        """Whether Kubernetes calls the node ready; not if it does not know it, or does not answer."""
        try:
            return _condition(await self._object(f"/api/v1/nodes/{name}"), "Ready")
        except TalosError:
            return False

    async def _outdated(self) -> list[str]:
        """Control planes with a static pod that is configured for another version."""
        found = []
        for name in self.controlplanes:
            async with self._node(name) as node:
                configuration = await node.configuration()
            configured = {images.version(images.image(configuration, part)) for part in images.STATIC_PODS}
            if configured != {self.version}:
                found.append(name)
        return found

    async def _pull(self, wanted: str) -> None:
        """Every image on every node that will run it, so that what cannot be had stops here, and restarts are short.

        The namespaces are those of `prePullImages` in Talos: static pods are the container runtime's, the kubelet is
        Talos's own.
        """
        static_pods = [(images.image(wanted, part), ImageNamespace.CRI) for part in images.STATIC_PODS]
        kubelet = (images.image(wanted, images.KUBELET), ImageNamespace.SYSTEM)
        for name in [*self.controlplanes, *self.workers]:
            pulumi.log.info(f"{name}: pulling the images of Kubernetes {self.version}")
            async with self._node(name) as node:
                for image, namespace in [*(static_pods if name in self.controlplanes else []), kubelet]:
                    try:
                        await node.pull(image, namespace)
                    except TalosError as error:
                        raise TalosError(
                            f"homelab:versions.kubernetes: {self.version} was not begun, as {name} cannot pull "
                            f"{image}: {error}; is there such a release, and does the node reach its registry?"
                        ) from None

    async def _replace(self, name: str, part: str, image: str) -> None:
        async with self._node(name) as node:
            configuration = await node.configuration()
            if images.image(configuration, part) != image:
                pulumi.log.info(f"{name}: {part} goes to {self.version}")
                await node.apply(images.replaced(configuration, part, image))
        await self._pod_runs(name, part)

    async def _pod_runs(self, name: str, part: str) -> None:
        async def probe() -> str | None:
            pod = await self._object(f"/api/v1/namespaces/kube-system/pods/{part}-{name}")
            runs = images.version(pod["spec"]["containers"][0]["image"])
            if runs != self.version:
                return f"it runs {runs}"
            return None if _condition(pod, "Ready") else "it is not ready"

        await until(
            f"{part} of {name} to run Kubernetes {self.version}",
            probe,
            self.timeout,
            f"no other control plane was touched; look at it with: talosctl -n {self._address(name)} logs -k "
            f"kube-system/{part}-{name}:{part}; `pulumi up` continues here, and talosctl upgrade-k8s takes it back",
        )

    async def _kubelet_of(self, name: str) -> str | None:
        """The version that a node's kubelet is configured for; None if the node does not answer."""
        try:
            async with self._node(name) as node:
                return images.version(images.image(await node.configuration(), images.KUBELET))
        except TalosError:
            return None

    async def _object(self, path: str) -> dict[str, Any]:
        found = await self.api.get(path)
        if found is None:
            raise TalosError(f"{path.rpartition('/')[2]} is not there")
        return found

    def _node(self, name: str) -> TalosNode:
        return TalosNode(self._address(name), self.credentials)

    def _address(self, name: str) -> str:
        return {**self.controlplanes, **self.workers}[name]


def _condition(found: dict[str, Any], name: str) -> bool:
    conditions = found["status"].get("conditions") or []
    return any(condition["type"] == name and condition["status"] == "True" for condition in conditions)
