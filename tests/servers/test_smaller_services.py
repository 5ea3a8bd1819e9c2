"""GitHub's MCP server, Syncthing and InvenTree's proxy, with what their releases tell them.

Syncthing is Debian's, older than the image; what it is told is the same in both. In place of InvenTree stands a server
that says what it was asked.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from checks.gitops.tree import GITOPS
from lab import debian
from lab.programs import ensure
from tests.servers import memory
from tests.servers.processes import eventually, free_port, free_ports, run, server
from tests.servers.services import answers, asked, container, listens, plain, requested
from tests.serving import serving

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server with its arguments of the release, but for the port; gives its URL."""
    directory = tmp_path_factory.mktemp("github")
    port = free_port()
    program = ensure(["github-mcp-server"])["github-mcp-server"].path
    arguments = [one.replace("8082", str(port)) for one in container("mcp-github", "server")["args"]]
    url = f"http://127.0.0.1:{port}"
    path = container("mcp-github", "server")["probes"]["readiness"]["path"]
    with server("github", [str(program), *arguments], directory=directory, ready=lambda: answers(url + path)):
        yield url


def test_githubs_server_tells_clients_the_address_by_which_they_reach_it(github: str) -> None:
    path = container("mcp-github", "server")["probes"]["readiness"]["path"]
    said = json.loads(asked(github + path)[1])
    assert said["resource"].startswith("https://mcp-github.domain")


def test_githubs_server_has_no_token_of_its_own(github: str) -> None:
    assert asked(f"{github}/", method="POST", **{"Content-Type": "application/json"})[0] == 401
    assert "GITHUB_PERSONAL_ACCESS_TOKEN" not in json.dumps(container("mcp-github", "server"))


def test_githubs_server_takes_less_than_it_asks_for(github: str) -> None:
    del github
    assert memory.peak("github-mcp-server") < requested("mcp-github", "server")


def test_syncthing_opens_its_port_for_devices_and_its_page_for_its_pod(tmp_path: Path) -> None:
    program = debian.ensure({"syncthing": "syncthing"})["syncthing"]
    told = plain(container("syncthing", "syncthing")["env"])
    page, sync = free_ports(2)
    environment = told | {
        "STGUIADDRESS": told["STGUIADDRESS"].replace("8384", str(page)),
        "STHOMEDIR": str(tmp_path / "config"),
        "HOME": str(tmp_path),
    }
    home = f"--home={environment['STHOMEDIR']}"
    run([str(program), "generate", home, "--no-default-folder", "--skip-port-probing"])
    configuration = tmp_path / "config" / "config.xml"
    text = configuration.read_text()
    # The port of the release is one that a developer's own Syncthing may have; nothing outside is asked.
    text = text.replace("<listenAddress>default<", f"<listenAddress>tcp://:{sync}<")
    for option in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled"):
        assert f"<{option}>true<" in text
        text = text.replace(f"<{option}>true<", f"<{option}>false<")
    configuration.write_text(text)
    # Version 2 takes its home from a variable, version 1 from an argument.
    command = [str(program), "serve", home, "--no-browser", "--no-restart"]
    url = f"http://127.0.0.1:{page}/"
    with server("syncthing", command, directory=tmp_path, ready=lambda: answers(url), environment=environment):
        eventually(lambda: listens(sync) or None, "port for devices", seconds=60)
        listening = {
            address.split()[3].rpartition(":")[0]
            for address in run(["ss", "-Hltn"]).splitlines()
            if address.split()[3].endswith(f":{page}")
        }
        assert listening == {"127.0.0.1"}
        used = memory.together(_children("syncthing", str(tmp_path)))
        assert 0 < used < requested("syncthing", "syncthing")


def _children(program: str, mark: str) -> list[str]:
    """The ids of the processes of a program with a mark in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (path / "cmdline").read_text(errors="replace").split("\0")
            if program in arguments[0] and any(mark in argument for argument in arguments):
                found.append(path.name)
    return found


class _InvenTree(BaseHTTPRequestHandler):
    """Says yes to whoever has a session, as /auth/ does, and else what it was asked."""

    def do_GET(self) -> None:
        signed_on = self.headers.get("Cookie") == "sessionid=ann"
        status = 200 if self.path != "/auth/" or signed_on else 403
        self.send_response(status)
        self.end_headers()
        told = {"path": self.path, "host": self.headers["Host"], "scheme": self.headers.get("X-Forwarded-Proto")}
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx with the configuration of the release, but for ports and directories; gives its URL."""
    here = tmp_path_factory.mktemp("inventree")
    for name, content in (("static/web/assets/app.js", "program"), ("media/part.svg", "<svg/>")):
        (here / "data" / name).parent.mkdir(parents=True)
        (here / "data" / name).write_text(content)
    behind = ThreadingHTTPServer(("127.0.0.1", 0), _InvenTree)
    port = free_port()
    text = (GITOPS / "inventree" / "nginx.conf").read_text()
    for before, after in (
        ("/tmp/", f"{here}/"),  # noqa: S108 - of the container
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("127.0.0.1:8000", f"127.0.0.1:{behind.server_address[1]}"),
        ("/home/inventree/data", str(here / "data")),
        ("${domain}", "home.example.org"),
    ):
        assert before in text
        text = text.replace(before, after)
    if os.geteuid() == 0:
        # The worker of a root's nginx is nobody, who may not read the test's directory.
        text = "user root;\n" + text
    (here / "nginx.conf").write_text(text)
    nginx = str(debian.ensure({"nginx": "nginx"})["nginx"])
    command = [nginx, "-g", "daemon off;", "-c", str(here / "nginx.conf")]
    with serving(behind), server("nginx", command, directory=here, ready=lambda: listens(port)):
        yield f"http://127.0.0.1:{port}"


def test_the_probe_asks_by_the_name_that_django_knows(proxy: str) -> None:
    path = container("inventree", "proxy")["probes"]["readiness"]["path"]
    status, body = asked(proxy + path)
    assert status == 200
    assert json.loads(body) == {"path": "/api/", "host": "inventree.home.example.org", "scheme": "https"}


def test_inventree_hears_by_which_name_and_scheme_it_was_asked(proxy: str) -> None:
    headers = {"Host": "inventree.home.example.org", "X-Forwarded-Proto": "https"}
    told = json.loads(asked(f"{proxy}/part/1", **headers)[1])
    assert told == {"path": "/part/1", "host": "inventree.home.example.org", "scheme": "https"}


@pytest.mark.parametrize("path", ["/static/web/assets/app.js", "/assets/app.js"])
def test_the_programs_of_its_pages_are_for_everybody(proxy: str, path: str) -> None:
    assert asked(proxy + path) == (200, b"program")


def test_an_uploaded_file_is_for_those_who_signed_on(proxy: str) -> None:
    assert asked(f"{proxy}/media/part.svg")[0] == 403
    assert asked(f"{proxy}/media/part.svg", Cookie="sessionid=ann") == (200, b"<svg/>")
    assert asked(f"{proxy}/media/../../../etc/passwd", Cookie="sessionid=ann")[1] != Path("/etc/passwd").read_bytes()


def test_nobody_asks_the_question_of_the_proxy(proxy: str) -> None:
    assert asked(f"{proxy}/signed-on", Cookie="sessionid=ann")[0] == 404
