"""The simulated Proxmox VE as a process: what it tells the node simulator of power, what it keeps, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.lab.proxmox_site import IMAGE_BYTES, PASSWORD, Site, configuration


class Nodes:
    """A node simulator that notes what it is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        """How long it takes to do what it is told."""
        self.told: list[tuple[str, int, dict[str, Any] | None]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    async def _listen(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/machines/{vmid}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.path)).start()

    async def _take(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read() or b"null")
        await asyncio.sleep(self.seconds)
        self.told.append((request.method, int(request.match_info["vmid"]), body))
        return web.Response(status=204)

    def power(self) -> list[bool | str]:
        """What was told, shortened: on, off, or gone."""
        return [bool(body["on"]) if body else "gone" for _, _, body in self.told]

    def wait(self, count: int) -> None:
        """Wait until that many reports have come."""
        _until(lambda: len(self.told) >= count)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def powered(tmp_path: Path) -> Iterator[tuple[Site, Nodes]]:
    nodes = Nodes(tmp_path / "nodes.sock")
    running = Site(tmp_path, nodesControl=str(nodes.path))
    running.create_node(9001, address="127.34.1.7")
    yield running, nodes
    running.close()
    nodes.close()


def test_a_new_vm_is_reported_with_all_that_a_node_needs(powered: tuple[Site, Nodes]) -> None:
    _, nodes = powered
    nodes.wait(1)
    machine = {"name": "vm-9001", "address": "127.34.1.7", "mac": "BC:24:11:00:00:01", "cores": 2, "memoryMiB": 2048}
    machine |= {"diskBytes": IMAGE_BYTES, "host": "pve1", "image": "9001.qcow2", "on": False}
    assert nodes.told == [("PUT", 9001, machine)]


def test_changes_of_power_are_reported_in_order(powered: tuple[Site, Nodes]) -> None:
    site, nodes = powered
    for action in ("start", "reboot", "reset", "shutdown", "start", "stop"):
        assert site.power(9001, action) == "OK"
    site.task("DELETE", "/nodes/pve1/qemu/9001?purge=1")
    nodes.wait(10)
    assert nodes.power() == [False, True, False, True, False, True, False, True, False, "gone"]


@pytest.mark.parametrize("action", ["stop", "shutdown"])
def test_a_machine_is_off_when_the_task_that_stops_it_has_ended(powered: tuple[Site, Nodes], action: str) -> None:
    site, nodes = powered
    site.power(9001, "start")
    nodes.seconds = 0.5
    site.power(9001, action)
    assert nodes.power()[-1] is False


def test_a_machine_is_gone_when_the_task_that_destroys_it_has_ended(powered: tuple[Site, Nodes]) -> None:
    site, nodes = powered
    nodes.seconds = 0.5
    site.task("DELETE", "/nodes/pve1/qemu/9001?purge=1")
    assert nodes.power()[-1] == "gone"


def test_new_cores_are_reported_at_the_next_start(powered: tuple[Site, Nodes]) -> None:
    site, nodes = powered
    site.power(9001, "start")
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"cores": "6"})
    site.power(9001, "reboot")
    nodes.wait(4)
    assert [body and body["cores"] for _, _, body in nodes.told] == [2, 2, 2, 6]


def test_reports_wait_for_a_simulator_that_comes_later(tmp_path: Path) -> None:
    running = Site(tmp_path, nodesControl=str(tmp_path / "nodes.sock"))
    running.create_node(9001)
    running.power(9001, "start")
    nodes = Nodes(tmp_path / "nodes.sock")
    try:
        nodes.wait(2)
        assert nodes.power() == [False, True]
    finally:
        running.close()
        nodes.close()


def test_a_foreign_vm_without_an_address_is_not_reported(powered: tuple[Site, Nodes]) -> None:
    site, nodes = powered
    site.control("POST", "/vms", {"vmid": 120, "node": "pve1", "name": "nas", "status": "running"})
    site.power(9001, "start")
    nodes.wait(2)
    assert {vmid for _, vmid, _ in nodes.told} == {9001}


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    first = Site(tmp_path)
    first.create_node(9001)
    first.power(9001, "start")
    first.api("POST", "/pools", {"poolid": "homelab", "comment": "all of them"})
    first.api("PUT", "/pools?poolid=homelab", {"vms": "9001", "storage": "ceph"})
    token = first.restricted(["VM.Audit"], on_user=True, on_token=True, path="/pool/homelab")
    before = first.control("GET", "/state")
    first.close()
    second = Site(tmp_path)
    try:
        after = second.control("GET", "/state")
        [vm] = second.api("GET", "/cluster/resources?type=vm", token=token)
        assert ({**after, "requests": None}, vm["status"]) == ({**before, "requests": None}, "running")
    finally:
        second.close()


def test_the_state_is_written_soon_after_a_change(site: Site) -> None:
    site.create(9001)
    file = site.settings.state_dir / "state.json"
    _until(lambda: file.exists() and [vm["vmid"] for vm in json.loads(file.read_text())["vms"]] == [9001])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_requests_are_listed_without_bodies(site: Site) -> None:
    site.create(9001, description="a-word-of-the-body")
    [entry] = [entry for entry in site.control("GET", "/requests?since=0")["requests"] if entry["method"] == "POST"]
    assert entry.keys() == {"seq", "time", "method", "path", "user", "status"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(configuration(tmp_path, host="127.34.0.9")))
    command = [sys.executable, "-m", "lab.proxmox", "--config", str(file)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield running
    running.kill()
    running.communicate()


def test_the_process_ends_on_sigterm(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on https://127.34.0.9:")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


def test_no_file_of_the_process_is_for_others_or_holds_the_password_in_its_log(
    process: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert process.stdout is not None
    process.stdout.readline()
    state = tmp_path / "state"
    modes = {
        path.name: oct(path.stat().st_mode & 0o077) for path in [state, tmp_path / "control.sock", *state.iterdir()]
    }
    assert set(modes.values()) == {"0o0"}, modes
    assert PASSWORD not in (state / "proxmox.log").read_text()


def test_a_configuration_with_an_unknown_key_names_it(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(configuration(tmp_path, pasword="x")))
    command = [sys.executable, "-m", "lab.proxmox", "--config", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert (ended.returncode, "pasword: Extra inputs are not permitted" in ended.stderr) == (1, True)


def _until(fulfilled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not fulfilled():
        assert time.monotonic() < deadline, "waited 30 seconds in vain"
        time.sleep(0.01)
