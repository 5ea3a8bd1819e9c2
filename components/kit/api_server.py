"""The API server of a kubeconfig, for commands that Pulumi runs: they have neither an SDK nor kubectl.

Owns requests and what is said of a refusal. Does not own what is asked: each command does. The hooks around changes of
nodes have a client of their own (`components/talos/kubernetes_api.py`), which asks one control plane after another.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import urllib.parse
from collections.abc import Mapping
from typing import Any

import yaml

from components.kit.mutual_tls import client_context

KUBECONFIG = "HOMELAB_KUBECONFIG"
"""The variable in which a command gets the kubeconfig, so that it is in no command line."""

REQUEST_SECONDS = 30


class ApiServerError(Exception):
    """The API server refuses a request, or does not answer; the message says which, and why."""


class MissingError(ApiServerError):
    """There is nothing at a path of the API."""


class ApiServer:
    """The API server of a kubeconfig with one cluster and one user, who shows a certificate."""

    def __init__(self, kubeconfig: str) -> None:
        parsed = yaml.safe_load(kubeconfig)
        [cluster], [user] = parsed["clusters"], parsed["users"]
        self.server = str(cluster["cluster"]["server"])
        self._context = _context(cluster["cluster"], user["user"])

    def get(self, path: str) -> dict[str, Any] | None:
        """The object at a path; None if there is none, or no such kind. Raises ApiServerError."""
        try:
            with self.answer("GET", path) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except MissingError:
            return None
        except OSError as error:
            raise ApiServerError(f"{path}: {self.server}: {error}") from None

    def patch(self, path: str, body: str, kind: str) -> None:
        """Change the object at a path; `kind`: the content type of `body`. Raises ApiServerError."""
        try:
            with self.answer("PATCH", path, body, kind) as answer:
                answer.read()
        except OSError as error:
            raise ApiServerError(f"{path}: {self.server}: {error}") from None

    def answer(
        self, method: str, path: str, body: str | None = None, kind: str = "", timeout: int = REQUEST_SECONDS
    ) -> http.client.HTTPResponse:
        """What is answered to one request, for whoever closes it; `kind`: the content type of `body`.

        Raises ApiServerError for a refusal, and OSError where nobody answers.
        """
        place = urllib.parse.urlsplit(self.server)
        connection = http.client.HTTPSConnection(
            str(place.hostname), place.port or 443, context=self._context, timeout=timeout
        )
        connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        answer = connection.getresponse()
        if answer.status >= 300:
            raise (MissingError if answer.status == http.client.NOT_FOUND else ApiServerError)(
                f"{path.partition('?')[0]}: {answer.status}: {answer.read().decode(errors='replace')}"
            )
        return answer


def _context(cluster: Mapping[str, str], user: Mapping[str, str]) -> ssl.SSLContext:
    authority, certificate, key = (
        base64.b64decode(part)
        for part in (
            cluster["certificate-authority-data"],
            user["client-certificate-data"],
            user["client-key-data"],
        )
    )
    return client_context(authority, certificate, key)
