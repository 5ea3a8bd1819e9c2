"""Writes container images of one layer as the files that a registry answers with.

An image lies in a directory: `manifest.json`, and `blobs/<hex digits of SHA-256>`. The layer is not compressed: it
never leaves this machine. Format: https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Layer:
    """The files of an image, written as they are added."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._known: set[str] = set()

    def directory(self, path: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """A directory and those above it."""
        parent = os.path.dirname(path)
        if parent not in ("", "/"):
            self.directory(parent)
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._add(entry)

    def file(self, path: str, content: bytes, *, mode: int = 0o644) -> None:
        """A file of root's."""
        self.directory(os.path.dirname(path))
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), mode
        self._add(entry, io.BytesIO(content))

    def link(self, path: str, target: str) -> None:
        """A symbolic link."""
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._add(entry)

    def copy(self, path: Path, to: str) -> None:
        """A file, link or directory of this machine, with its mode and owner; of a directory, nothing that is in it."""
        entry = self._archive.gettarinfo(str(path), arcname=to.lstrip("/"))
        entry.mtime, entry.uname, entry.gname = 0, "", ""
        if entry.isreg():
            with path.open("rb") as content:
                self._add(entry, content)
        elif entry.isdir() or entry.issym() or entry.islnk():
            self._add(entry)

    def _add(self, entry: tarfile.TarInfo, content: object = None) -> None:
        if entry.name and entry.name not in self._known:
            self._known.add(entry.name)
            self._archive.addfile(entry, content)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Image:
    """How one image is made.

    `repositories` are those in whose place it is served, in full (`docker.io/library/mariadb`). `key` is everything
    that decides its content: equal keys mean equal images.
    """

    name: str
    repositories: tuple[str, ...]
    key: str
    fill: Callable[[Layer], None]
    entrypoint: Sequence[str] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def make(self, store: Path) -> Path:
        """The image's directory below `store`, where it is made first if it is not there."""
        recipe = f"{self.key} {self.entrypoint} {self.user} {self.environment}"
        place = store / f"{self.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        if place.is_dir():
            return place
        store.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=store))
        try:
            self._write(scratch)
            try:
                scratch.rename(place)
            except OSError:  # another process was faster
                if not place.is_dir():
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return place

    def _write(self, place: Path) -> None:
        blobs = place / "blobs"
        blobs.mkdir()
        layer = place / "layer.tar"
        with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as archive:
            self.fill(Layer(archive))
        with layer.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        size = layer.stat().st_size
        layer.rename(blobs / digest)
        process = {
            "Entrypoint": list(self.entrypoint),
            "Env": [_PATH, *(f"{name}={value}" for name, value in self.environment.items())],
            "User": self.user,
        }
        config = _blob(
            blobs,
            {
                "architecture": "amd64",
                "os": "linux",
                "config": process,
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            },
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": _CONFIG, **config},
            "layers": [{"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": size}],
        }
        (place / "manifest.json").write_text(json.dumps(manifest))


def _blob(blobs: Path, document: object) -> dict[str, object]:
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}
