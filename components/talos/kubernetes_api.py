"""The Kubernetes API for commands that run while nodes leave or change: a small client with an administrator's rights.

Owns no resource. Asks one control plane that is known to answer, not the virtual address, which may be about to move.
The provider of the program cannot be used: it knows objects that it made, not nodes, pods and volumes.
Must exist before: a control plane that answers.
"""

from __future__ import annotations

import http.client
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from components.kit.ports import KUBERNETES_API
from components.talos.api import TalosCredentials, TalosError, TalosNode, client_context

_TIMEOUT = 30
"""Seconds for one request."""


@dataclass(frozen=True)
class Answer:
    """What the API said: the HTTP status, and the object that came with it."""

    status: int
    content: Mapping[str, Any]

    @property
    def message(self) -> str:
        """The reason of a refusal, in the API's words."""
        return str(self.content.get("message", ""))


class KubernetesApi:
    """The API on a control plane's own address."""

    def __init__(self, address: str, kubeconfig: Mapping[str, Any]) -> None:
        [cluster], [user] = kubeconfig["clusters"], kubeconfig["users"]
        self.url = f"https://{address}:{KUBERNETES_API}"
        self._address = address
        self._context = client_context(
            TalosCredentials.decoded(
                cluster["cluster"]["certificate-authority-data"],
                user["user"]["client-certificate-data"],
                user["user"]["client-key-data"],
            )
        )

    @classmethod
    async def of(cls, node: TalosNode) -> KubernetesApi:
        """The API on a control plane, which hands out the credentials itself; raises TalosError if it does not."""
        with tarfile.open(fileobj=io.BytesIO(await node.kubeconfig()), mode="r:gz") as files:
            content = files.extractfile(files.getmembers()[0])
            return cls(node.address, yaml.safe_load(content.read() if content else b""))

    def request(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Answer:
        """Send one request and wait for the answer, whatever it is; `kind` is the body's media type.

        Raises TalosError when none comes.
        """
        connection = http.client.HTTPSConnection(self._address, KUBERNETES_API, context=self._context, timeout=_TIMEOUT)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": kind, "Accept": "application/json"})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise TalosError(f"{self.url} does not answer {method} {path}: {error or type(error).__name__}") from None
        finally:
            connection.close()
        return Answer(response.status, _object(text))

    def items(self, path: str) -> list[Mapping[str, Any]]:
        """The objects of a collection; raises TalosError when they cannot be listed."""
        answer = self.request("GET", path)
        if answer.status != http.HTTPStatus.OK:
            raise TalosError(f"{self.url}{path}: {answer.status} {answer.message}")
        return list(answer.content.get("items") or [])


def _object(text: str) -> Mapping[str, Any]:
    """A body that is no JSON object comes from something in between; it is the reason then."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    return content if isinstance(content, dict) else {"message": text.strip()}
