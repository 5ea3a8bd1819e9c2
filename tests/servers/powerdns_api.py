"""PowerDNS's HTTP API, as tests ask it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


class Api:
    """The API of the server at an address; without a key as a stranger would ask it."""

    def __init__(self, port: int, key: str | None, address: str) -> None:
        self.base, self.key = f"http://{address}:{port}/api/v1/servers/localhost", key

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        headers = {"X-API-Key": self.key} if self.key else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            content = response.read()
        return json.loads(content) if content else None
