"""A client of one API server: requests, and a copy of the cluster's objects that follows it.

Owns the connections and the copy. Does not know what is done with it. Each kind has a thread that lists and watches;
kinds of charts come and go with their definitions.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from lab.operators.world import Kind, Object, World

_PAUSE = 0.2
"""Seconds between two attempts at a server that does not answer, or does not serve a kind yet."""

_PATIENCE = 300.0
"""Seconds after which a watch without a word is begun anew."""

DEFINITION = Kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
FAILURES = (OSError, http.client.HTTPException, ValueError)


class RefusedError(Exception):
    """The API server answered with an error: `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status} {text}")


class Api:
    """The server that a kubeconfig with files for its certificates names; one thread at a time sends requests.

    Their connection is kept: a handshake for each would take more of the machine than all that the operators do.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._kept: http.client.HTTPSConnection | None = None
        self._one_at_a_time = threading.Lock()

    def connect(self, timeout: float) -> http.client.HTTPSConnection:
        """A connection, not open yet. Raises OSError where the files are not there."""
        config = yaml.safe_load(self._kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        parts = urlsplit(cluster["server"])
        return http.client.HTTPSConnection(str(parts.hostname), parts.port or 443, timeout=timeout, context=context)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request; a PATCH is a merge patch. Raises RefusedError, or OSError where nobody answers."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        with self._one_at_a_time:
            try:
                status, answer = self._answer(method, path, content, {"Content-Type": kind})
            except FAILURES:
                # Not kept: the server has gone, or another one has come in its place.
                if self._kept is not None:
                    self._kept.close()
                self._kept = None
                raise
        if status >= 300:
            raise RefusedError(status, f"{method} {path}: {answer[:300]}")
        return json.loads(answer)

    def _answer(self, method: str, path: str, content: str | None, headers: dict[str, str]) -> tuple[int, str]:
        self._kept = self._kept or self.connect(10)
        self._kept.request(method, path, content, headers)
        response = self._kept.getresponse()
        return response.status, response.read().decode()


class Copy:
    """The cluster's objects of some kinds, as they are. real: see `World`."""

    def __init__(self, api: Api, core: Iterable[Kind], custom: Iterable[Kind], real: Collection[str] = ()) -> None:
        self.world = World(real=real)
        self.lock = threading.Lock()
        self.changed = threading.Event()
        self._api = api
        self._synced: dict[str, bool] = {}
        self._custom = {(each.api_version.partition("/")[0], each.name): each for each in custom}
        for each in (DEFINITION, *core):
            self._follow(each, lambda: True)

    def missing(self) -> list[str]:
        """The kinds that are served and not listed yet: what seems to be missing may be there."""
        return sorted(name for name, listed in self._synced.items() if not listed)

    def _follow(self, kind: Kind, wanted: Callable[[], bool]) -> None:
        self._synced[kind.name] = False
        threading.Thread(target=self._list_and_watch, args=(kind, wanted), daemon=True).start()

    def _list_and_watch(self, kind: Kind, wanted: Callable[[], bool]) -> None:
        while self._still(kind, wanted):
            # A server that is away, restarts, or serves the kind in a moment: the next attempt begins with a list.
            with contextlib.suppress(*FAILURES, RefusedError):
                listed = self._api.request("GET", kind.path())
                with self.lock:
                    self.world.replace(kind.name, [_whole(item, kind) for item in listed["items"]])
                    self._synced[kind.name] = True
                self._look_at_definitions(kind)
                self.changed.set()
                self._watch(kind, listed["metadata"]["resourceVersion"])
            time.sleep(_PAUSE)

    def _still(self, kind: Kind, wanted: Callable[[], bool]) -> bool:
        """Whether to go on following a kind. If not, it is forgotten in the same moment.

        So a definition that comes back is either noticed here, or by `_look_at_definitions`, which begins anew.
        """
        with self.lock:
            if wanted():
                return True
            self.world.replace(kind.name, [])
            self._synced.pop(kind.name, None)
            return False

    def _watch(self, kind: Kind, version: str) -> None:
        """Follow the changes until the server ends the watch, or has forgotten the version."""
        connection = self._api.connect(_PATIENCE)
        try:
            connection.request("GET", f"{kind.path()}?watch=1&resourceVersion={version}")
            response = connection.getresponse()
            if response.status != http.client.OK:
                return
            for line in response:
                event = json.loads(line)
                if event["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                    return
                item = _whole(event["object"], kind)
                with self.lock:
                    if event["type"] == "DELETED":
                        self.world.drop(item)
                    else:
                        self.world.put(item)
                self._look_at_definitions(kind)
                self.changed.set()
        finally:
            connection.close()

    def _look_at_definitions(self, kind: Kind) -> None:
        """Begin to follow the kinds whose definitions have come."""
        if kind is not DEFINITION:
            return
        with self.lock:
            for each in self._served():
                if each.name not in self._synced:
                    self._follow(each, lambda each=each: each in self._served())  # type: ignore[misc]

    def _served(self) -> list[Kind]:
        found = []
        for item in self.world.all(DEFINITION.name):
            kind = self._custom.get((item["spec"]["group"], item["spec"]["names"]["kind"]))
            established = {"type": "Established", "status": "True"}.items()
            if kind and any(established <= each.items() for each in item.get("status", {}).get("conditions") or []):
                found.append(kind)
        return found


def _whole(item: Object, kind: Kind) -> dict[str, Any]:
    """An item of a list says nothing of its kind."""
    return {**item, "apiVersion": kind.api_version, "kind": kind.name}
