"""A simulated Proxmox VE for tests: in a thread of this process, with clients for its API and its control socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from lab.proxmox.server import Server
from lab.proxmox.settings import Settings

HOST = "127.34.0.1"
PASSWORD = "not-a-real-password"
ROOT_TOKEN = "root@pam!lab=00000000-0000-4000-8000-000000000001"
GIB = 1024**3
IMAGE_BYTES = 1306525696
"""Size of a real Talos image."""


def configuration(directory: Path, **changes: Any) -> dict[str, Any]:
    """A site with two nodes: node-local images and disks, and one shared storage."""
    name, _, value = ROOT_TOKEN.partition("=")
    return {
        "host": HOST,
        "port": 0,
        "user": "root@pam",
        "password": PASSWORD,
        "tokens": {name: value},
        "stateDir": str(directory / "state"),
        "control": str(directory / "control.sock"),
        "nodesControl": None,
        "timeScale": 0.001,
        "nodes": {"pve1": {"cores": 8, "memoryMiB": 32768}, "pve2": {"cores": 16, "memoryMiB": 65536}},
        "datastores": {
            "local": {"type": "dir", "content": "iso,vztmpl,import,snippets"},
            "local-zfs": {"type": "zfspool", "content": "images,rootdir"},
            "only-pve2": {"type": "zfspool", "content": "images", "nodes": ["pve2"], "sizeGiB": 10},
            "ceph": {"type": "rbd", "content": "images", "shared": True},
        },
    } | changes


class Refused(Exception):  # noqa: N818  (named for what the tests read: raises(Refused))
    """An answer that is an error: its status and its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


class Site:
    """A running simulated Proxmox VE."""

    def __init__(self, directory: Path, **changes: Any) -> None:
        self.directory = directory
        self.settings = Settings.model_validate(configuration(directory, **changes))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server = Server(self.settings)
        self._call(self.server.start)

    def close(self) -> None:
        """Stop the server as SIGTERM does."""
        self._call(self.server.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, function: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await function()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def api(self, method: str, path: str, values: Any = None, token: str | None = ROOT_TOKEN, **headers: str) -> Any:
        """The `data` of an answer. `values` go as a form, as the real provider sends them.

        Raises:
            Refused: if the answer is an error.
        """
        context = ssl.create_default_context(cafile=str(self.settings.state_dir / "ca.pem"))
        connection = http.client.HTTPSConnection(HOST, self.server.pve.port, timeout=10, context=context)
        if token:
            headers["Authorization"] = f"PVEAPIToken={token}"
        body = None
        if values is not None:
            body = urllib.parse.urlencode(values)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, f"/api2/json{path}", body, headers)
            return _data(connection.getresponse())
        finally:
            connection.close()

    def control(self, method: str, path: str, values: Any = None) -> Any:
        """An answer of the control socket.

        Raises:
            Refused: if the answer is an error.
        """
        connection = http.client.HTTPConnection("control", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.settings.control))
        try:
            connection.request(method, path, None if values is None else json.dumps(values))
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise Refused(response.status, answer["error"])
        return answer

    def task(self, method: str, path: str, values: Any = None, token: str | None = ROOT_TOKEN) -> str:
        """Start a task and return how it ended: `OK` or its error."""
        upid = self.api(method, path, values, token)
        node = upid.split(":")[1]
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            status = self.api("GET", f"/nodes/{node}/tasks/{urllib.parse.quote(upid)}/status")
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.005)
        raise TimeoutError(f"{upid} does not end")

    def download(self, node: str = "pve1", name: str = "talos.qcow2") -> str:
        """Put an image on a node; returns how the task ended."""
        values = {"content": "import", "filename": name, "url": f"http://127.34.0.2/{name}"}
        return self.task("POST", f"/nodes/{node}/storage/local/download-url", values)

    def create(self, vmid: int, node: str = "pve1", *, token: str = ROOT_TOKEN, **values: Any) -> str:
        """Create a VM as the provider does; returns how the task ended."""
        known = {"vmid": vmid, "name": f"vm-{vmid}", "cores": 2, "memory": 2048}
        return self.task("POST", f"/nodes/{node}/qemu", known | values, token)

    def create_node(self, vmid: int, address: str = "127.34.1.1", node: str = "pve1") -> None:
        """A VM with an imported disk, a cloud-init drive and an address, as the program makes its nodes."""
        assert self.download(node, f"{vmid}.qcow2") == "OK"
        ended = self.create(
            vmid,
            node,
            scsi0=f"local-zfs:0,import-from=local:import/{vmid}.qcow2,iothread=1",
            ide2="local-zfs:cloudinit,media=cdrom",
            ipconfig0=f"gw=127.34.1.254,ip={address}/24",
            net0="virtio=BC:24:11:00:00:01,bridge=vmbr0",
        )
        assert ended == "OK"

    def config(self, vmid: int, node: str = "pve1", query: str = "") -> dict[str, Any]:
        """A VM's configuration as the API shows it."""
        return dict(self.api("GET", f"/nodes/{node}/qemu/{vmid}/config{query}"))

    def power(self, vmid: int, action: str, node: str = "pve1") -> str:
        """Start, stop, shutdown, reboot or reset a VM; returns how the task ended."""
        return self.task("POST", f"/nodes/{node}/qemu/{vmid}/status/{action}")

    def volumes(self, node: str, storage: str) -> list[str]:
        """Names of the volumes that a node shows on a storage."""
        content = self.api("GET", f"/nodes/{node}/storage/{storage}/content")
        return [item["volid"].partition(":")[2] for item in content]

    def login(self, password: str = PASSWORD) -> dict[str, str]:
        """A session's headers.

        Raises:
            Refused: if the password is not right.
        """
        ticket = self.api("POST", "/access/ticket", {"username": "root@pam", "password": password}, token=None)
        return {
            "Cookie": f"PVEAuthCookie={ticket['ticket']}",
            "CSRFPreventionToken": ticket["CSRFPreventionToken"],
        }

    def restricted(self, privileges: Iterable[str], *, on_user: bool, on_token: bool, path: str = "/") -> str:
        """A privilege-separated token whose role is granted to its user, to itself, or to both."""
        self.api("POST", "/access/roles", {"roleid": "Test", "privs": ",".join(privileges)})
        self.api("POST", "/access/users", {"userid": "test@pve"})
        made = self.api("POST", "/access/users/test@pve/token/ci", {"privsep": "1"})
        if on_user:
            self.api("PUT", "/access/acl", {"path": path, "roles": "Test", "users": "test@pve"})
        if on_token:
            self.api("PUT", "/access/acl", {"path": path, "roles": "Test", "tokens": "test@pve!ci"})
        return f"{made['full-tokenid']}={made['value']}"


def _data(response: http.client.HTTPResponse) -> Any:
    answer = json.loads(response.read() or b"null")
    if response.status >= 400:
        message = str(answer["message"]).strip()
        wrong = answer.get("errors")
        raise Refused(response.status, f"{message} {json.dumps(wrong)}" if wrong else message)
    return answer["data"]
