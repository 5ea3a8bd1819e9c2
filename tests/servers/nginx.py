"""A real nginx in a directory of its own, set up as Debian sets up /etc/nginx, and backends for it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from components.edge.router import NginxLayout
from lab import debian
from tests.servers.processes import server
from tests.serving import serving

PROGRAMS = {"nginx": "nginx", "/usr/lib/nginx/modules/ngx_stream_module.so": "libnginx-mod-stream"}

_MAIN = """\
pid {here}/nginx.pid;
error_log {here}/error.log;
worker_processes 2;
include {here}/modules-enabled/*.conf;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {here}/tmp/body;
    proxy_temp_path {here}/tmp/proxy;
    fastcgi_temp_path {here}/tmp/fastcgi;
    uwsgi_temp_path {here}/tmp/uwsgi;
    scgi_temp_path {here}/tmp/scgi;
    include {here}/sites-enabled/*;
}}
"""


class Nginx:
    """The layout of one nginx, for the component and for the test's own questions."""

    def __init__(self, here: Path, http_port: int) -> None:
        self.here, self.http_port = here, http_port
        for name in ("modules-enabled", "sites-enabled", "tmp"):
            (here / name).mkdir(parents=True)
        (here / "nginx.conf").write_text(_MAIN.format(here=here))
        module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
        (here / "modules-enabled" / "50-mod-stream.conf").write_text(module)
        self.write_site("default", f"server {{ listen {http_port} default_server; return 200 'own site'; }}\n")
        command = (str(debian.ensure(PROGRAMS)["nginx"]), "-p", str(here))
        self.layout = NginxLayout(
            main=str(here / "nginx.conf"),
            stream_file=str(here / "modules-enabled" / "95-homelab-stream.conf"),
            http_file=str(here / "sites-enabled" / "zz-homelab.conf"),
            pid=str(here / "nginx.pid"),
            command=command,
            reload=(*command, "-c", str(here / "nginx.conf"), "-s", "reload"),
            record=str(here / "record" / "nginx.json"),
        )

    def write_site(self, name: str, text: str) -> Path:
        """A site of the host's own."""
        path = self.here / "sites-enabled" / name
        path.write_text(text)
        return path

    def files(self) -> dict[str, str]:
        """Every configuration file with its text."""
        parts = [self.here / "nginx.conf", *self.here.glob("modules-enabled/*"), *self.here.glob("sites-enabled/*")]
        return {str(path.relative_to(self.here)): path.read_text() for path in parts}

    def workers(self) -> set[str]:
        """Process ids of the workers."""
        master = (self.here / "nginx.pid").read_text().strip()
        return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """nginx, until the end of the block."""
        command = [*self.layout.command, "-c", self.layout.main, "-g", "daemon off;"]
        ready = (self.here / "nginx.pid").exists
        with server("nginx", command, directory=self.here, ready=ready):
            yield


class TlsBackend:
    """Answers each TLS connection with its name and closes it; can be stopped, as one that died."""

    def __init__(self, directory: Path, label: str, address: str, port: int, pem: tuple[str, str]) -> None:
        certificate, key = directory / f"{label}.crt", directory / f"{label}.key"
        certificate.write_text(pem[0])
        key.write_text(pem[1])
        self.certificate = ssl.PEM_cert_to_DER_cert(pem[0])
        self._label, self._address, self._port = label, address, port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._socket: socket.socket | None = None
        self.start()

    def start(self) -> None:
        """Listen (again)."""
        self._socket = socket.create_server((self._address, self._port))
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more: connections are refused."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        self._socket = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), self._context.wrap_socket(connection, server_side=True) as client:
                client.sendall(self._label.encode())


def ask(port: int, name: str | None) -> tuple[bytes, str]:
    """The certificate that a client sees which asks for that server name, and what it is answered.

    Raises:
        OSError: there was no TLS connection.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as connection,
    ):
        certificate = connection.getpeercert(binary_form=True)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert certificate is not None
    return certificate, answer.decode()


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.connection.getsockname()[0]} {self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextlib.contextmanager
def http_backend(address: str, port: int) -> Iterator[None]:
    """Answers HTTP requests with its address and what was asked."""
    backend = ThreadingHTTPServer((address, port), _Echo)
    with serving(backend):
        yield
