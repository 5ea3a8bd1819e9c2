# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""Storages of the simulated Proxmox VE: node-local ones, images of type `import`, downloads.

fakepve knows one content per storage. Here a storage that is not shared has one content on each node, as a real
`local` has. Nothing is stored: a volume is a name and a size. Of a URL only the answer to a HEAD request is fetched,
because it may be long in coming.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from aiohttp import ClientError, ClientSession, web
from fakepve import FakePve
from fakepve.model import PveError, TaskError
from fakepve.routing import die, param_error, split_list
from fakepve.storage import _is_file

from lab.proxmox.settings import Datastore

GIB = 1024**3
IMAGE_BYTES = 1306525696
"""The size of every downloaded image: that of a Talos disk image."""

UNLIMITED_BYTES = 16 * 1024 * GIB
"""The size shown for a storage whose size is not configured."""

DOWNLOAD_SECONDS = 5

PROXY_SECONDS = 30
"""How long the node that serves the API waits for another one (PVE::APIServer::AnyEvent, proxy_request)."""

AGENT_SECONDS = 180
"""How long a node waits for the answer to its own request (LWP::UserAgent's default)."""

_LEAST_SCALE = 0.05
"""These two are not shortened further than this, because what they are measured against takes real time."""

_DIGEST_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_PER_NODE = ("volumes", "files", "avail")
_DEFAULTS = {"zfspool": {"pool": "rpool/data"}, "dir": {"path": "/var/lib/vz"}, "lvm": {"vgname": "pve"}}
_DEFAULTS["lvmthin"] = {"vgname": "pve", "thinpool": "data"}

current_node: ContextVar[str | None] = ContextVar("current_node", default=None)
"""The node whose API path is being served; tasks that a request starts inherit it."""


@contextlib.contextmanager
def on_node(node: str | None) -> Iterator[None]:
    """Act as a request to that node does."""
    token = current_node.set(node)
    try:
        yield
    finally:
        current_node.reset(token)


class LocalStorage(dict[str, Any]):
    """A storage that is not shared: one configuration, with volumes and space of its own on each node."""

    def __init__(self, options: Mapping[str, Any], parts: Mapping[str, dict[str, Any]]) -> None:
        super().__init__(options)
        self.parts = dict(parts)

    def _home(self, key: str) -> dict[str, Any] | None:
        if key not in _PER_NODE:
            return None
        node = current_node.get()
        if node is None or node not in self.parts:
            raise LookupError(f"a node-local storage was used without a node of its own (node: {node})")
        return self.parts[node]

    def __contains__(self, key: object) -> bool:
        home = self._home(str(key))
        return super().__contains__(key) if home is None else key in home

    def __getitem__(self, key: str) -> Any:
        home = self._home(key)
        return super().__getitem__(key) if home is None else home[key]

    def __setitem__(self, key: str, value: Any) -> None:
        home = self._home(key)
        if home is None:
            super().__setitem__(key, value)
        else:
            home[key] = value

    def get(self, key: str, default: Any = None) -> Any:
        home = self._home(key)
        return super().get(key, default) if home is None else home.get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]


def make_storage(datastore: Datastore, nodes: list[str]) -> dict[str, Any]:
    """fakepve's record of a configured datastore."""
    options: dict[str, Any] = {"type": datastore.type, "active": 1, "content": datastore.content}
    options.update(_DEFAULTS.get(datastore.type, {}))
    if datastore.nodes:
        options["nodes"] = ",".join(datastore.nodes)
    size = datastore.size_gib * GIB if datastore.size_gib else UNLIMITED_BYTES
    options["total"] = size

    def content() -> dict[str, Any]:
        space = {"avail": size} if datastore.size_gib else {}
        return {"volumes": {}, "files": set(), **space}

    if datastore.shared:
        return {**options, "shared": 1, **content()}
    return LocalStorage(options, {node: content() for node in nodes})


def parts_of(store: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The content of a storage by node; a shared storage has one, under the empty name."""
    return store.parts if isinstance(store, LocalStorage) else {"": store}


class Storage(FakePve):  # type: ignore[misc]
    """Mixin: what a real storage does and fakepve's does not."""

    def _guests(self) -> list[Any]:
        """Guests whose configurations name volumes here: those of the node that is being asked."""
        node = current_node.get()
        return [guest for guest in super()._guests() if node in (None, guest.node)]

    def _qm_image_store(self, sid: str, user: str) -> dict[str, Any]:
        store: dict[str, Any] = super()._qm_image_store(sid, user)
        self._check_enabled(sid, current_node.get())
        return store

    def volumes(self) -> list[dict[str, Any]]:
        """Every volume of every storage: storage, node (None if shared), name, content, size in bytes, VM id."""
        found = []
        for sid, store in sorted(self.storages.items()):
            for node, part in sorted(parts_of(store).items()):
                for name, volume in sorted(part["volumes"].items()):
                    known = {key: volume.get(key) for key in ("content", "format", "size", "vmid", "source")}
                    found.append({"storage": sid, "node": node or None, "name": name, **known})
        return found

    def plant_volume(self, storage: str, name: str, size: int, vmid: int | None, node: str | None = None) -> str:
        """Put a volume on a storage as something outside the program would; returns its id.

        Raises:
            ValueError: if the storage is unknown, or the node is missing or does not have it.
        """
        part = self._part(storage, node)
        kind = name.split("/", 1)[0] if "/" in name and not name[0].isdigit() else "images"
        part["volumes"][name] = {
            "content": kind,
            "format": name.rsplit(".", 1)[-1] if "." in name else "raw",
            "size": size,
            "ctime": int(time.time()),
            **({"vmid": vmid} if vmid is not None else {}),
        }
        return f"{storage}:{name}"

    def drop_volume(self, storage: str, name: str, node: str | None = None) -> None:
        """Remove a volume behind the API's back.

        Raises:
            ValueError: if there is none.
        """
        if self._part(storage, node)["volumes"].pop(name, None) is None:
            raise ValueError(f"volume {storage}:{name} does not exist")

    def _part(self, storage: str, node: str | None) -> dict[str, Any]:
        if storage not in self.storages:
            raise ValueError(f"storage {storage!r} does not exist: it is one of {', '.join(sorted(self.storages))}")
        parts = parts_of(self.storages[storage])
        if "" in parts:
            return parts[""]
        if node is None and len(parts) == 1:
            return next(iter(parts.values()))
        if node is None or node not in parts or not self._storage_enabled(storage, node):
            here = ", ".join(self._storage_nodes(storage))
            raise ValueError(f"storage {storage!r} is node-local: name one of its nodes ({here}), not {node!r}")
        return parts[node]

    # Downloads: checked against the schema like every other method, unlike fakepve's own route.

    async def _download_url(self, request: web.Request) -> web.StreamResponse:
        template = "/nodes/{node}/storage/{storage}/download-url"
        response: web.StreamResponse = await self._stateful_handler(template, self._download)(request)
        return response

    async def _download(self, v: dict[str, Any], user: str) -> str:
        sid, content, name = v["storage"], v["content"], v["filename"]
        store = self._active_store(sid, v["node"])
        if not _is_file(store):
            raise die(f"can't upload to storage type '{store['type']}', not a file based storage!")
        if content not in split_list(store.get("content")):
            raise die(f"storage '{sid}' is not configured for content-type '{content}'")
        if content == "import" and not name.endswith((".qcow2", ".raw", ".vmdk", ".ova")):
            raise param_error(filename="invalid filename or wrong extension")
        algorithm, checksum = v.get("checksum-algorithm"), v.get("checksum")
        if bool(algorithm) != bool(checksum):
            missing = "checksum" if algorithm else "checksum-algorithm"
            raise param_error(**{missing: "missing property - both checksum and checksum-algorithm are needed"})

        async def body() -> None:
            await self.pause(DOWNLOAD_SECONDS)
            if checksum and len(checksum) != _DIGEST_LENGTHS.get(str(algorithm), len(checksum)):
                raise TaskError(f"checksum mismatch: got a {algorithm} digest != expect '{checksum}'")
            self.store_file(sid, name, IMAGE_BYTES, content)

        log = [f"downloading {_without_query(v['url'])} to {self._volume_path(sid, f'{content}/{name}', content)}"]
        upid: str = await self.task(v["node"], "download", sid, user, body, log=log)
        return upid

    def store_file(self, storage: str, name: str, size: int, content: str = "iso") -> None:
        """Add a file to a storage.

        Raises:
            TaskError: if it is there already or does not fit.
        """
        volume = f"{content}/{name}"
        if volume in self._volumes(storage):
            raise TaskError(f"refusing to override existing file '{self._volume_path(storage, volume, content)}'")
        super().store_file(storage, name, size, content)

    def _routes_lab_download(self) -> list[tuple[str, str, Any]]:
        return [("GET", "/nodes/{node}/query-url-metadata", self._url_metadata)]

    async def _url_metadata(self, v: dict[str, Any], _user: str) -> dict[str, Any]:
        """After `query_url_metadata` of PVE::API2::Nodes, which the node itself carries out."""
        proxied = v["node"] != next(iter(self.nodes))
        seconds = (PROXY_SECONDS if proxied else AGENT_SECONDS) * max(self.time_scale, _LEAST_SCALE)
        try:
            async with asyncio.timeout(seconds), ClientSession() as session, session.head(v["url"]) as response:
                answer = f"{response.status} {response.reason}"
        except TimeoutError:
            if proxied:
                raise PveError(596, "Connection timed out") from None
            answer = "500 read timeout"
        except ClientError as error:
            answer = f"500 Can't connect to {urllib.parse.urlsplit(v['url']).netloc} ({error.__class__.__name__})"
        if not answer.startswith("200 "):
            raise die(f"invalid server response: '{answer}'")
        name = urllib.parse.urlsplit(v["url"]).path.rsplit("/", 1)[-1]
        return {"filename": name, "mimetype": "application/octet-stream", "size": IMAGE_BYTES}


def _without_query(url: str) -> str:
    """A URL as it may be logged: without credentials and without a query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))
