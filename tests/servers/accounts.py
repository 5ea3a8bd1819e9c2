"""What Synapse asks of the Matrix Authentication Service, in its place: where it is, and whether a token is good.

A token of somebody who is locked is not active, and neither is one of a session that has ended
(crates/handlers/src/oauth2/introspection.rs in https://github.com/element-hq/matrix-authentication-service). The scopes
are those that Synapse 1.98 knows (synapse/api/auth/msc3861_delegated.py).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from tests.serving import serving

CLIENT = "synapse"
_INTROSPECTION = "/oauth2/introspect"
_SCOPE = "openid urn:matrix:org.matrix.msc2967.client:api:* urn:matrix:org.matrix.msc2967.client:device:{device}"


@dataclass
class Accounts:
    """secret: of Synapse. sessions: the name of a person by token. locked: names of people."""

    address: str = ""
    secret: str = "known-to-both"
    sessions: dict[str, str] = field(default_factory=dict)
    locked: set[str] = field(default_factory=set)

    def said_of(self, token: str) -> dict[str, Any]:
        name = self.sessions.get(token)
        if name is None or name in self.locked:
            return {"active": False}
        return {"active": True, "sub": f"sub-{name}", "username": name, "scope": _SCOPE.format(device=token)}


@contextmanager
def accounts() -> Iterator[Accounts]:
    """The service on a free port of this machine."""
    there = Accounts()
    client = "Basic " + base64.b64encode(f"{CLIENT}:{there.secret}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        # Synapse asks again over the same connection.
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/.well-known/openid-configuration":
                self._answer(200, {"issuer": there.address, "introspection_endpoint": there.address + _INTROSPECTION})
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if self.path != _INTROSPECTION or self.headers["Authorization"] != client:
                self._answer(401, {})
            else:
                self._answer(200, there.said_of(asked["token"][0]))

        def _answer(self, status: int, content: Any) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there.address = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield there
