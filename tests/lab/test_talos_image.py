"""The image on a datastore that hosts share, through the real engine and the upstream provider. The tests are steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.lab import pulumi_program
from tests.lab.live import ROOT
from tests.lab.proxmox_site import HOST, PASSWORD, Site
from tests.lab.pulumi_program import Program
from tests.serving import serving

SHARED = {"type": "nfs", "content": "import", "shared": True}

PROGRAM = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})

import pulumi
import pulumi_proxmoxve as proxmox
import pulumiverse_talos as talos

from components.proxmox.api import ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.site.plan import PlannedSite
from components.proxmox.talos_image import TalosImage, TalosImageArgs

config = pulumi.Config()
shared = config.require_object("shared")
login = ProxmoxLogin(
    endpoint=config.require("endpoint"), insecure=True, username="root@pam",
    password=config.require_secret("password"), api_token=None,
)
checks = ProxmoxChecks(login=login, site=PlannedSite(tag="homelab-trial", shared=frozenset(shared)))
provider = proxmox.Provider(
    "proxmox", endpoint=login.endpoint, insecure=True, username=login.username, password=login.password
)
factory = talos.Provider("talos", image_factory_url=config.require("factory"))
image = TalosImage(
    "talos",
    TalosImageArgs(
        factory=config.require("factory"), version="v1.13.9", extensions=[], kernel_args=[], owner="homelab-trial",
        datastores={{host: "nfs" for host in config.require_object("hosts")}}, shared=shared,
        hooks=pulumi.ResourceHookBinding(before_create=[checks.before_image()]),
    ),
    pulumi.ResourceOptions(providers=[provider, factory]),
)
pulumi.export("files", image.files)
"""


class Factory(BaseHTTPRequestHandler):
    """Gives a schematic the id that the Image Factory gives it: its digest."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"id": hashlib.sha256(body).hexdigest()}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def factory() -> Iterator[str]:
    """The URL of an Image Factory."""
    server = ThreadingHTTPServer(("127.34.0.3", 0), Factory)
    with serving(server):
        yield f"http://127.34.0.3:{server.server_port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"), datastores={"nfs": SHARED})
    yield running
    running.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, site: Site, factory: str) -> Iterator[Program]:
    root = tmp_path_factory.mktemp("image")
    secrets = {"password": PASSWORD}
    with pulumi_program.program(root, PROGRAM, providers=["proxmoxve", "talos"], secrets=secrets) as program:
        program.set(endpoint=f"https://{HOST}:{site.server.pve.port}/", factory=factory)
        yield program


def wanted(program: Program, hosts: list[str], shared: list[str]) -> None:
    program.set(hosts=json.dumps(hosts), shared=json.dumps(shared))


def images(site: Site) -> list[str]:
    return [image["name"] for image in site.control("GET", "/state")["images"]]


def test_a_datastore_that_is_shared_and_not_declared_gets_no_image(site: Site, program: Program) -> None:
    wanted(program, ["pve1", "pve2"], [])
    refused = program.up(fails=True)
    assert "add nfs to homelab:site.sharedImageDatastores" in refused
    assert images(site) == []


def test_a_shared_image_is_downloaded_once(site: Site, program: Program) -> None:
    wanted(program, ["pve1", "pve2"], ["nfs"])
    program.up()
    downloads = [r for r in site.control("GET", "/requests")["requests"] if r["path"].endswith("/download-url")]
    assert (len(images(site)), len(downloads)) == (1, 1)
    assert set(program.outputs()["files"].values()) == {f"nfs:{images(site)[0]}"}
    program.up("--expect-no-changes")


def test_a_shared_image_stays_when_the_host_that_downloaded_it_leaves(site: Site, program: Program) -> None:
    before = images(site)
    wanted(program, ["pve2"], ["nfs"])
    program.up()
    assert images(site) == before
    program.up("--expect-no-changes")


def test_a_shared_image_goes_with_its_last_user(site: Site, program: Program) -> None:
    wanted(program, [], ["nfs"])
    program.up()
    assert images(site) == []
