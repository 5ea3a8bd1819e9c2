"""What the simulated Proxmox holds, asked over its control socket, to prove that a destroy leaves nothing."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.errors import LabError


def take(control: Path, ignored: Callable[[str], bool] | None = None) -> set[str]:
    """Every VM, pool, volume, image, user, token, role and access entry, one readable line each.

    Volumes whose name is `ignored` are left out.

    Raises:
        LabError: if the simulated Proxmox does not answer.
    """
    state = _get(control, "/state")
    if ignored is not None:
        state["volumes"] = [volume for volume in state["volumes"] if not ignored(volume["name"])]
    found = {f"VM {vm['vmid']} ({vm['name']}) on {vm['node']}" for vm in state["vms"]}
    for kind in ("users", "tokens", "roles", "pools"):
        found |= {f"{kind.removesuffix('s')} {name}" for name in state[kind]}
    for kind in ("acls", "volumes", "images"):
        found |= {f"{kind.removesuffix('s')} {json.dumps(entry, sort_keys=True)}" for entry in state[kind]}
    return found


def _get(control: Path, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("localhost", timeout=20)
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(20)
        connection.sock.connect(str(control))
        connection.request("GET", path)
        return dict(json.load(connection.getresponse()))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise LabError(f"the simulated Proxmox does not answer on {control}: {error}") from None
    finally:
        connection.close()
