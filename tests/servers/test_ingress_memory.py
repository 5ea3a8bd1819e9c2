"""What nginx takes while the ingress controller reloads it again and again, as it does when pods come and go.

Real: nginx, with the number of workers and the time for old ones that the ingress controller's chart is given. The
controller is not here: it writes a file and sends the same signal.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import memory
from tests.servers.certificates import write_pair
from tests.servers.names import release_values
from tests.servers.nginx import Nginx
from tests.servers.processes import eventually, free_ports

HOSTS = 60
"""More than the platform has, each with a certificate of its own."""
RELOADS = 30
"""Within the time that an old worker may last: as many as when a few Deployments are rolled out at a time."""
CONTROLLER = 128
"""MiB for the controller itself, which shares the container: Go, and copies of what it watches."""


@pytest.fixture(scope="module")
def entries() -> dict[str, str]:
    """The keys of the controller's ConfigMap."""
    return dict(release_values("nginx-ingress")["controller"]["config"]["entries"])


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, str]) -> Iterator[Nginx]:
    directory = tmp_path_factory.mktemp("ingress")
    [port] = free_ports(1)
    running = Nginx(directory / "nginx", port)
    write_pair(directory, "host")
    main = Path(running.layout.main)
    text = main.read_text().replace("worker_processes 2;", f"worker_processes {entries['worker-processes']};")
    # The controller's template has 1024: internal/configs/version1/nginx.tmpl.
    text = text.replace("worker_connections 128;", "worker_connections 1024;")
    main.write_text(f"worker_shutdown_timeout {entries['worker-shutdown-timeout']};\n{text}")
    for number in range(HOSTS):
        running.write_site(
            f"host-{number}",
            f"upstream host-{number} {{ zone host-{number} 256k; server 127.0.0.1:{port}; }}\n"
            f"server {{ listen 127.0.0.1:{port}; server_name host-{number}.example.org;\n"
            f"  ssl_certificate {directory}/host.crt; ssl_certificate_key {directory}/host.key;\n"
            f"  location / {{ proxy_pass http://host-{number}; }} }}\n",
        )
    with running.running():
        yield running


def test_old_workers_that_wait_for_their_clients_need_less_than_half_of_the_memory_limit(
    nginx: Nginx, entries: dict[str, str]
) -> None:
    """Each generation has a client that keeps its connection, as a page with a WebSocket does."""
    workers = int(entries["worker-processes"])
    with contextlib.ExitStack() as clients:
        for number in range(RELOADS):
            before = nginx.workers()
            for _ in range(8):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", nginx.http_port)))
                client.sendall(b"POST / HTTP/1.1\r\nHost: any\r\nContent-Length: 9\r\n\r\n")
            subprocess.run(nginx.layout.reload, check=True, capture_output=True)
            eventually(lambda before=before: len(nginx.workers() - before) >= workers or None, f"generation {number}")  # type: ignore[misc]
        old = nginx.workers()
        assert len(old) > RELOADS
        used = memory.together(old) + CONTROLLER
    assert used < memory.limit(release_values("nginx-ingress")["controller"]["resources"]) / 2
