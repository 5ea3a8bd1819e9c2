"""A small client for the Kubernetes API, for what must be known while Talos is being changed.

Used only by resource hooks, so never in a preview: at that time there may be no Kubernetes provider yet, and the API
server that it would ask may be the one that restarts. Owns no object in the cluster.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any

import yaml

from components.kit.ports import KUBERNETES_API
from components.talos.api import TalosCredentials, TalosError, TalosNode, client_context

_TIMEOUT = 10
_APPLY = "application/apply-patch+yaml"


class KubernetesError(TalosError):
    """The API answers with a refusal: its HTTP status, its message, and the causes that it names."""

    def __init__(self, request: str, status: int, answer: dict[str, Any]) -> None:
        self.status = status
        self.causes = [str(cause.get("message")) for cause in (answer.get("details") or {}).get("causes") or []]
        super().__init__(f"the Kubernetes API refuses {request}: {status}: {answer.get('message', 'no reason given')}")


class KubernetesApi:
    """The API as the cluster's administrator, at whichever control plane answers first.

    Not through the virtual address, which moves while control planes restart. Every method raises TalosError when none
    of them answers, and KubernetesError when one refuses.
    """

    def __init__(self, addresses: Sequence[str], kubeconfig: Any) -> None:
        [cluster], [user] = kubeconfig["clusters"], kubeconfig["users"]
        self._addresses = addresses
        self._context = client_context(
            TalosCredentials.decoded(
                cluster["cluster"]["certificate-authority-data"],
                user["user"]["client-certificate-data"],
                user["user"]["client-key-data"],
            )
        )
        self._resources: dict[str, list[dict[str, Any]]] = {}

    @classmethod
    async def of(cls, nodes: Sequence[TalosNode]) -> KubernetesApi:
        """With the administrator's kubeconfig that the first of these control planes which answers gives out.

        Raises TalosError if none answers.
        """
        reasons = []
        for node in nodes:
            try:
                archive = await node.kubeconfig()
            except TalosError as error:
                reasons.append(str(error))
                continue
            with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
                content = files.extractfile(files.getmembers()[0])
                return cls([each.address for each in nodes], yaml.safe_load(content.read() if content else b""))
        raise TalosError(f"no control plane gives out a kubeconfig: {'; '.join(reasons)}")

    async def get(self, path: str) -> dict[str, Any] | None:
        """What is at a path; None if nothing is."""
        try:
            return await asyncio.to_thread(self._request, "GET", path)
        except KubernetesError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise

    async def apply(self, manifest: dict[str, Any], *, manager: str, force: bool) -> dict[str, Any]:
        """Server-side apply of one object as a field manager; what the object was made to.

        force: take fields from other managers; without it, KubernetesError with status 409 names them.
        """
        path = await self.path(manifest)
        query = f"?fieldManager={manager}&force={str(force).lower()}"
        return await asyncio.to_thread(self._request, "PATCH", path + query, manifest)

    async def path(self, manifest: dict[str, Any]) -> str:
        """Where an object with this manifest is. Raises TalosError if the API has no such kind."""
        version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if root not in self._resources:
            self._resources[root] = ((await self.get(root)) or {}).get("resources", [])
        for resource in self._resources[root]:
            if resource["kind"] == kind and "/" not in resource["name"]:
                namespace = f"/namespaces/{metadata.get('namespace', 'default')}" if resource["namespaced"] else ""
                return f"{root}{namespace}/{resource['name']}/{metadata['name']}"
        raise TalosError(f"the Kubernetes API has no {kind} of {version}")

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        reasons = []
        for address in self._addresses:
            connection = http.client.HTTPSConnection(address, KUBERNETES_API, context=self._context, timeout=_TIMEOUT)
            try:
                content = None if body is None else json.dumps(body)
                connection.request(method, path, content, {"Content-Type": _APPLY} if content else {})
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as error:
                reasons.append(f"https://{address}:{KUBERNETES_API}: {error or type(error).__name__}")
                continue
            finally:
                connection.close()
            return _answered(f"{method} {path.partition('?')[0]}", response.status, answer)
        raise TalosError(f"no Kubernetes API server answers: {'; '.join(reasons)}")


def _answered(request: str, status: int, content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = {"message": content.decode(errors="replace")}
    if status >= http.client.BAD_REQUEST:
        raise KubernetesError(request, status, answer)
    return dict(answer)
