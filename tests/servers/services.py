"""What tests of the smaller services share: what their releases say, and how they are asked."""

from __future__ import annotations

import base64
import contextlib
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from checks.gitops.tree import releases
from tests.servers import memory

PASSWORD = "of-a-generator"


def container(release: str, name: str) -> dict[str, Any]:
    """A container of a release of our own chart, as its values have it."""
    [found] = [one for one in releases() if one.name == release]
    return dict(found.values["controllers"]["main"]["containers"][name])


def plain(environment: Mapping[str, Any]) -> dict[str, str]:
    """The variables whose value is in the release."""
    return {name: str(value) for name, value in environment.items() if not isinstance(value, dict)}


def asked(url: str, *, user: str | None = None, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    request = urllib.request.Request(url, method=method, headers=headers)
    if user:
        request.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def answers(url: str) -> bool:
    try:
        return asked(url)[0] == 200
    except OSError:
        return False


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def requested(release: str, name: str) -> int:
    """MiB that a container asks for."""
    return memory.limit({"limits": container(release, name)["resources"]["requests"]})
