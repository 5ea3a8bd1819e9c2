"""An image that the factory has yet to build: what the program's hook does, and what a download does without it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pulumi
import pytest

from components.talos.image_factory import ImageBuilds, ImageFactoryError
from lab.session import CHECKOUT
from tests.lab import pulumi_program
from tests.lab.image_server import HOST, image_server
from tests.lab.proxmox_site import HOST as PROXMOX
from tests.lab.proxmox_site import ROOT_TOKEN, Site
from tests.lab.pulumi_program import Program

DOWNLOAD = """
import pulumi
import pulumi_proxmoxve as proxmox

from components.talos.image_factory import ImageBuilds

config = pulumi.Config()
built = [ImageBuilds().before_create()] if config.get_bool("asked") else []
proxmox.download.File(
    "image",
    node_name="pve2",
    datastore_id="local",
    content_type="import",
    url=config.require("url"),
    file_name="talos.qcow2",
    overwrite=False,
    opts=pulumi.ResourceOptions(
        provider=proxmox.Provider(
            "site", endpoint=config.require("endpoint"), api_token=config.require_secret("token"), insecure=True
        ),
        hooks=pulumi.ResourceHookBinding(before_create=built),
    ),
)
"""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the hook tells the user."""
    lines: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", lines.append)
    return lines


def test_an_image_is_waited_for_until_the_factory_has_built_it(said: list[str]) -> None:
    with image_server(seconds=1) as server:
        asyncio.run(ImageBuilds(answer=0.5).built(server.url))
        assert server.asked == 2
    assert [line.split(" (")[0] for line in said] == [
        f"waiting for the Image Factory to build {server.url}: no answer yet"
    ]


def test_a_factory_that_fails_for_a_moment_is_asked_again(said: list[str]) -> None:
    with image_server(statuses=(503, 200)) as server:
        asyncio.run(ImageBuilds(pause=0.01).built(server.url))
    assert [line.split(" (")[0] for line in said] == [
        f"waiting for the Image Factory to build {server.url}: 503 Service Unavailable"
    ]


def test_an_image_for_several_hosts_is_asked_for_once() -> None:
    async def three_hosts(builds: ImageBuilds, url: str) -> None:
        await asyncio.gather(*(builds.built(url) for _ in range(3)))

    with image_server() as server:
        asyncio.run(three_hosts(ImageBuilds(), server.url))
        assert server.asked == 1


def test_an_image_that_the_factory_does_not_know_is_refused_with_the_settings_to_check() -> None:
    with (
        image_server(statuses=(404,)) as server,
        pytest.raises(ImageFactoryError, match=r"404 Not Found.*versions\.talos"),
    ):
        asyncio.run(ImageBuilds().built(server.url))


@pytest.mark.usefixtures("said")
def test_a_factory_that_never_answers_is_given_up_with_its_last_words() -> None:
    with pytest.raises(ImageFactoryError, match=r"no image at .* \(.*refused.*\); run `pulumi up` again"):
        asyncio.run(ImageBuilds(deadline=0.05, pause=0.05).built(f"http://{HOST}:9/image/talos.qcow2"))


@pytest.fixture
def download(site: Site, tmp_path: Path) -> Iterator[Program]:
    """A program that has the upstream provider download an image on a host that does not serve the API."""
    root = tmp_path / "lab"
    root.mkdir()
    with pulumi_program.program(root, DOWNLOAD, providers=("proxmoxve",), secrets={"token": ROOT_TOKEN}) as made:
        made.environment["PYTHONPATH"] = str(CHECKOUT)
        made.set(endpoint=f"https://{PROXMOX}:{site.server.pve.port}")
        yield made


def test_without_the_hook_a_new_image_fails_on_another_host_than_the_endpoint(download: Program) -> None:
    with image_server(seconds=4) as server:
        download.set(url=server.url, asked="false")
        assert "Connection timed out" in download.up(fails=True)


def test_with_the_hook_a_new_image_arrives_on_another_host_than_the_endpoint(site: Site, download: Program) -> None:
    with image_server(seconds=4) as server:
        download.set(url=server.url, asked="true")
        download.up()
    assert site.volumes("pve2", "local") == ["import/talos.qcow2"]
