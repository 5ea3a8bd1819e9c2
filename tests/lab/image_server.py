"""A server of one image that needs time before its first answer, as the Image Factory does."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.serving import serving

HOST = "127.34.0.2"


class ImageServer:
    """Answers HEAD with `statuses` in turn, the last one for good; the first answer takes `seconds`."""

    def __init__(self, seconds: float, statuses: tuple[int, ...]) -> None:
        self.asked = 0
        self._seconds = seconds
        self._statuses = statuses
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                status = outer._next()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}/image/talos.qcow2"

    def _next(self) -> int:
        with self._lock:
            self.asked += 1
            number = self.asked
        if number == 1:
            self._stopped.wait(self._seconds)
        return self._statuses[min(number, len(self._statuses)) - 1]

    @contextlib.contextmanager
    def running(self) -> Iterator[ImageServer]:
        """Serve until the end of the block."""
        with serving(self._server):
            try:
                yield self
            finally:
                self._stopped.set()


def image_server(
    seconds: float = 0, statuses: tuple[int, ...] = (200,)
) -> contextlib.AbstractContextManager[ImageServer]:
    """A running `ImageServer`."""
    return ImageServer(seconds, statuses).running()
