"""`python -m lab.pods.store ADDRESS:PORT FILE`: serves images to the nodes' runtimes, as a registry does.

FILE holds a JSON object: each repository with the directory of its image. Only what a pull asks for is
answered: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lab.pods.layers import MANIFEST


class Store(BaseHTTPRequestHandler):
    """Answers of the registry. A runtime names the registry that it believes to ask in the parameter `ns`."""

    protocol_version = "HTTP/1.1"
    images: dict[str, Path] = {}  # noqa: RUF012

    def do_HEAD(self) -> None:
        """Whether there is such a manifest or blob."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """A manifest or a blob."""
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        address = urlsplit(self.path)
        if address.path == "/v2/":
            self._send(200, b"{}", "application/json", body=body)
            return
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", address.path)
        registry = parse_qs(address.query).get("ns", [""])[0]
        place = self.images.get(f"{registry}/{found.group(1)}") if found else None
        if found is None or place is None:
            self._send(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}', "application/json", body=body)
        elif found.group(2) == "manifests":
            self._send(200, (place / "manifest.json").read_bytes(), MANIFEST, body=body)
        else:
            self._blob(place / "blobs" / found.group(3).removeprefix("sha256:"), body=body)

    def _send(self, status: int, content: bytes, kind: str, *, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _blob(self, path: Path, *, body: bool) -> None:
        if not path.is_file():
            self._send(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}', "application/json", body=body)
            return
        size = path.stat().st_size
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(span.group(1)) if span else 0
        self.send_response(206 if span else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - first))
        if span:
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.end_headers()
        if body:
            with path.open("rb") as content:
                content.seek(first)
                shutil.copyfileobj(content, self.wfile, 1 << 20)


def main() -> None:
    """Serve until the process is ended."""
    host, port = sys.argv[1].rsplit(":", 1)
    Store.images = {repository: Path(place) for repository, place in json.loads(Path(sys.argv[2]).read_text()).items()}
    ThreadingHTTPServer((host, int(port)), Store).serve_forever()


if __name__ == "__main__":
    main()
