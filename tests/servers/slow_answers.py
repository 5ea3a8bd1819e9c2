"""A Kubernetes API whose answers to creations do not arrive: the moment in which an `up` is killed, held open.

What is created is created, by the real API server behind it; only the one who asked does not learn of it.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

from tests.servers.kubernetes import KubernetesApi
from tests.serving import serving

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "accept-encoding", "authorization"}


class SlowAnswers:
    """The way to an API server, as its administrator."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api
        self._tls = ssl.create_default_context(cafile=str(api.ca))
        self.created: list[str] = []
        """Paths of the collections in which objects were created."""
        self.answering = threading.Event()
        """Whether creations are answered."""
        self.server = _server(self)

    @property
    def kubeconfig(self) -> str:
        """With which a client takes this way."""
        address = f"http://127.0.0.1:{self.server.server_port}"
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "slow", "cluster": {"server": address}}],
                "users": [{"name": "none", "user": {}}],
                "contexts": [{"name": "slow", "context": {"cluster": "slow", "user": "none"}}],
                "current-context": "slow",
            }
        )

    def pass_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Status, media type and content of the API's answer, held back if it is of a creation."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._api.port, timeout=60, context=self._tls)
        with contextlib.closing(connection):
            wanted = {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(method, path, body, wanted | {"Authorization": f"Bearer {self._api.admin_token}"})
            answer = connection.getresponse()
            content = answer.read()
        if method == "POST" and answer.status == 201 and "dryRun=" not in path:
            self.created.append(path.partition("?")[0])
            self.answering.wait()
        return answer.status, answer.headers.get("Content-Type", "application/json"), content


def _server(way: SlowAnswers) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, content = way.pass_on(self.command, self.path, dict(self.headers), body)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do  # noqa: N815 (http.server's names)

        def log_message(self, *_: Any) -> None:
            return None

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Whoever asked was killed."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    return server


@contextlib.contextmanager
def slow_answers(api: KubernetesApi) -> Iterator[SlowAnswers]:
    """The way to the API for the length of the block."""
    way = SlowAnswers(api)
    with serving(way.server):
        try:
            yield way
        finally:
            way.answering.set()
