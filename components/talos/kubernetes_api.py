"""A small client for the Kubernetes API, for what must be known or done while nodes leave or change.

Used only by resource hooks and by commands that Pulumi runs, so never in a preview: there may be no Kubernetes provider
yet, and the API server that it would ask may be the one that restarts. It also knows only objects that the program
made, not nodes, pods and volumes. Owns no object in the cluster.
Must exist before: a control plane that answers.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from components.kit.ports import KUBERNETES_API
from components.talos.api import TalosCredentials, TalosError, TalosNode, client_context

_TIMEOUT = 30
"""Seconds for one request to one API server."""

_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    """What the API said: the HTTP status, and the object that came with it."""

    status: int
    content: Mapping[str, Any]

    @property
    def message(self) -> str:
        """The reason of a refusal, in the API's words."""
        return str(self.content.get("message", ""))

    @property
    def causes(self) -> list[Mapping[str, Any]]:
        """The single causes of a refusal that the API names, each with a `reason` and a `message`."""
        return (self.content.get("details") or {}).get("causes") or []


class KubernetesError(TalosError):
    """The API answers with a refusal, which is `answer`."""

    def __init__(self, request: str, answer: Answer) -> None:
        self.answer = answer
        super().__init__(
            f"the Kubernetes API refuses {request}: {answer.status}: {answer.message or 'no reason given'}"
        )


class KubernetesApi:
    """The API as the cluster's administrator, at whichever of the given control planes answers first.

    Not through the virtual address, which moves while control planes restart. Every method raises TalosError when none
    of them answers; all but `request` raise KubernetesError when one refuses.
    """

    def __init__(self, addresses: Sequence[str], kubeconfig: Mapping[str, Any]) -> None:
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
    async def of(cls, *nodes: TalosNode) -> KubernetesApi:
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

    def request(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Answer:
        """Send one request and wait for the answer, whatever it is; `kind` is the body's media type."""
        reasons = []
        payload = None if body is None else json.dumps(body)
        for address in self._addresses:
            connection = http.client.HTTPSConnection(address, KUBERNETES_API, context=self._context, timeout=_TIMEOUT)
            try:
                connection.request(method, path, payload, {"Content-Type": kind, "Accept": "application/json"})
                response = connection.getresponse()
                return Answer(response.status, _object(response.read().decode(errors="replace")))
            except (OSError, http.client.HTTPException) as error:
                reasons.append(f"https://{address}:{KUBERNETES_API}: {error or type(error).__name__}")
            finally:
                connection.close()
        raise TalosError(f"no Kubernetes API server answers: {'; '.join(reasons)}")

    def items(self, path: str) -> list[Mapping[str, Any]]:
        """The objects of a collection."""
        return list(_accepted("GET", path, self.request("GET", path)).get("items") or [])

    async def get(self, path: str) -> dict[str, Any] | None:
        """What is at a path; None if nothing is."""
        answer = await asyncio.to_thread(self.request, "GET", path)
        return None if answer.status == http.HTTPStatus.NOT_FOUND else _accepted("GET", path, answer)

    async def apply(self, manifest: dict[str, Any], *, manager: str, force: bool) -> dict[str, Any]:
        """Server-side apply of one object as a field manager; what the object was made to.

        force: take fields from other managers; without it, KubernetesError with status 409 names them.
        """
        path = await self.path(manifest)
        query = f"?fieldManager={manager}&force={str(force).lower()}"
        return _accepted("PATCH", path, await asyncio.to_thread(self.request, "PATCH", path + query, manifest, _APPLY))

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


def _accepted(method: str, path: str, answer: Answer) -> dict[str, Any]:
    """The object of an answer. Raises KubernetesError if it is a refusal."""
    if answer.status >= http.HTTPStatus.BAD_REQUEST:
        raise KubernetesError(f"{method} {path}", answer)
    return dict(answer.content)


def _object(text: str) -> Mapping[str, Any]:
    """A body that is not a JSON object comes from something in between; it is the reason then."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    return content if isinstance(content, dict) else {"message": text.strip()}
