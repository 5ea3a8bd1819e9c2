"""The simulated Proxmox VE: VMs, disks, storages and power, as the real provider and the program meet them."""

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

from tests.lab.proxmox_site import GIB, PASSWORD, Refused, Site, configuration

IMAGE_BYTES = 1306525696
VOLUME = "vm-9999-pvc-lab-11111111-2222-4333-8444-555555555555"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    running = Site(tmp_path)
    yield running
    running.close()


def attach_volume(site: Site) -> None:
    """Attach a volume to VM 9001 as a CSI driver does."""
    site.control(
        "POST", "/volumes", {"storage": "local-zfs", "node": "pve1", "vmid": 9999, "size": GIB, "name": VOLUME}
    )
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"scsi1": f"local-zfs:{VOLUME},backup=0"})


# Virtual machines


def test_a_disk_is_imported_with_the_size_of_its_image(site: Site) -> None:
    site.create_node(9001)
    assert site.config(9001)["scsi0"] == "local-zfs:vm-9001-disk-0,iothread=1,size=1246M"


def test_an_import_of_an_image_that_another_node_has_fails(site: Site) -> None:
    site.download("pve2")
    ended = site.create(9001, "pve1", scsi0="local-zfs:0,import-from=local:import/talos.qcow2")
    assert ended == "unable to create VM 9001 - volume local:import/talos.qcow2 does not exist"


def test_the_cloud_init_drive_has_the_name_that_the_provider_expects(site: Site) -> None:
    site.create_node(9001)
    assert site.config(9001)["ide2"] == "local-zfs:vm-9001-cloudinit,media=cdrom"


def test_a_replaced_cloud_init_drive_keeps_its_name(site: Site) -> None:
    site.create_node(9001)
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"ide2": "local-zfs:cloudinit,media=cdrom"})
    assert site.config(9001)["ide2"] == "local-zfs:vm-9001-cloudinit,media=cdrom"


def test_a_resize_changes_the_configuration_and_the_volume(site: Site) -> None:
    site.create_node(9001)
    assert site.task("PUT", "/nodes/pve1/qemu/9001/resize", {"disk": "scsi0", "size": "20G"}) == "OK"
    [disk] = [volume for volume in site.control("GET", "/state")["volumes"] if volume["name"] == "vm-9001-disk-0"]
    assert (disk["size"], site.config(9001)["scsi0"].rsplit("=", 1)[1]) == (20 * GIB, "20G")


def test_a_disk_is_not_shrunk(site: Site) -> None:
    site.create_node(9001)
    ended = site.task("PUT", "/nodes/pve1/qemu/9001/resize", {"disk": "scsi0", "size": "1G"})
    assert ended == "shrinking disks is not supported"


def test_a_vm_is_deleted_at_a_path_with_a_trailing_slash(site: Site) -> None:
    site.create_node(9001)
    site.task("DELETE", "/nodes/pve1/qemu/9001/?destroy-unreferenced-disks=1&purge=1")
    assert site.control("GET", "/state")["vms"] == []


def test_a_deleted_vm_leaves_no_volume(site: Site) -> None:
    site.create_node(9001)
    site.task("DELETE", "/nodes/pve1/qemu/9001?destroy-unreferenced-disks=1&purge=1")
    assert site.control("GET", "/state")["volumes"] == []


def test_a_volume_of_another_owner_outlives_the_vm_that_it_is_attached_to(site: Site) -> None:
    site.create_node(9001)
    attach_volume(site)
    site.task("DELETE", "/nodes/pve1/qemu/9001?destroy-unreferenced-disks=1&purge=1")
    assert [volume["name"] for volume in site.control("GET", "/state")["volumes"]] == [VOLUME]


def test_a_detached_volume_of_another_owner_leaves_no_trace(site: Site) -> None:
    site.create_node(9001)
    attach_volume(site)
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"delete": "scsi1"})
    assert not {"scsi1", "unused0"} & site.config(9001).keys()


def test_a_running_vm_is_not_deleted(site: Site) -> None:
    site.create_node(9001)
    site.power(9001, "start")
    with pytest.raises(Refused, match="500 VM 9001 is running - destroy failed"):
        site.api("DELETE", "/nodes/pve1/qemu/9001")


def test_numbers_of_a_changed_configuration_are_numbers(site: Site) -> None:
    site.create_node(9001)
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"cores": "4", "onboot": "1"})
    config = site.config(9001)
    assert (config["cores"], config["onboot"]) == (4, 1)


def test_memory_is_text_as_in_pve(site: Site) -> None:
    site.create_node(9001)
    assert site.config(9001)["memory"] == "2048"


def test_a_changed_drive_keeps_its_size_and_loses_the_word_file(site: Site) -> None:
    site.create_node(9001)
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"scsi0": "file=local-zfs:vm-9001-disk-0,discard=on"})
    assert site.config(9001)["scsi0"] == "local-zfs:vm-9001-disk-0,discard=on,size=1246M"


def test_a_disk_added_later_is_allocated(site: Site) -> None:
    site.create_node(9001)
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"scsi1": "local-zfs:3"})
    assert site.config(9001)["scsi1"] == "local-zfs:vm-9001-disk-1,size=3G"


def test_a_detached_disk_becomes_an_unused_one(site: Site) -> None:
    site.create_node(9001)
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"delete": "scsi0"})
    config = site.config(9001)
    assert ("scsi0" in config, config["unused0"]) == (False, "local-zfs:vm-9001-disk-0")


def test_an_id_in_use_is_refused_in_the_words_of_pve(site: Site) -> None:
    site.control("POST", "/vms", {"vmid": 9001, "node": "pve2", "name": "foreign"})
    with pytest.raises(Refused, match=r"^500 unable to create VM 9001 - VM 9001 already exists on node 'pve2'$"):
        site.create(9001)


def test_new_cores_of_a_running_vm_are_shown_but_not_in_use(site: Site) -> None:
    site.create_node(9001)
    site.power(9001, "start")
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"cores": "4"})
    assert (site.config(9001)["cores"], site.config(9001, query="?current=1")["cores"]) == (4, 2)


def test_a_foreign_vm_is_listed_with_its_tags(site: Site) -> None:
    site.control("POST", "/vms", {"vmid": 120, "node": "pve2", "name": "nas", "tags": "home", "status": "running"})
    [vm] = site.api("GET", "/cluster/resources?type=vm")
    found = {key: vm[key] for key in ("vmid", "node", "name", "tags", "status")}
    assert found == {"vmid": 120, "node": "pve2", "name": "nas", "tags": "home", "status": "running"}


def test_a_change_that_is_not_simulated_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match=r"501 lab: POST /cluster/replication is not simulated"):
        site.api("POST", "/cluster/replication", {"id": "100-0", "target": "pve2", "type": "local"})


# Nodes and storages


def test_each_node_shows_its_own_size(site: Site) -> None:
    sizes = {node["node"]: (node["maxcpu"], node["maxmem"]) for node in site.api("GET", "/nodes")}
    assert sizes == {"pve1": (8, 32 * GIB), "pve2": (16, 64 * GIB)}


def test_the_status_of_a_node_tells_its_memory_and_cores(site: Site) -> None:
    status = site.api("GET", "/nodes/pve2/status")
    assert (status["memory"]["total"], status["cpuinfo"]["cpus"]) == (64 * GIB, 16)


def test_an_unknown_node_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match="500 hostname lookup 'pve9' failed"):
        site.api("GET", "/nodes/pve9/status")


def test_an_image_on_a_node_local_storage_is_on_that_node_only(site: Site) -> None:
    site.download("pve1")
    assert (site.volumes("pve1", "local"), site.volumes("pve2", "local")) == (["import/talos.qcow2"], [])


def test_an_image_has_the_size_of_a_real_one(site: Site) -> None:
    site.download("pve1")
    [image] = site.api("GET", "/nodes/pve1/storage/local/content?content=import")
    assert image["size"] == IMAGE_BYTES


def test_the_size_of_a_url_is_that_of_the_image_it_becomes(site: Site) -> None:
    metadata = site.api("GET", "/nodes/pve1/query-url-metadata?url=http://127.34.0.2/a/talos.qcow2")
    assert (metadata["filename"], metadata["size"]) == ("talos.qcow2", IMAGE_BYTES)


def test_a_download_does_not_replace_a_file(site: Site) -> None:
    site.download("pve1")
    assert site.download("pve1") == "refusing to override existing file '/var/lib/vz/import/talos.qcow2'"


def test_a_download_takes_a_checksum(site: Site) -> None:
    values = {"content": "import", "filename": "a.qcow2", "url": "http://127.34.0.2/a.qcow2"}
    values |= {"checksum": "0" * 64, "checksum-algorithm": "sha256"}
    assert site.task("POST", "/nodes/pve1/storage/local/download-url", values) == "OK"


def test_a_checksum_of_the_wrong_kind_does_not_match(site: Site) -> None:
    values = {"content": "import", "filename": "a.qcow2", "url": "http://127.34.0.2/a.qcow2"}
    values |= {"checksum": "0" * 64, "checksum-algorithm": "sha512"}
    ended = site.task("POST", "/nodes/pve1/storage/local/download-url", values)
    assert ended.startswith("checksum mismatch")


def test_a_storage_without_the_content_type_takes_no_image(site: Site) -> None:
    with pytest.raises(Refused, match="can't upload to storage type 'zfspool', not a file based storage!"):
        site.api(
            "POST",
            "/nodes/pve1/storage/local-zfs/download-url",
            {"content": "import", "filename": "a.qcow2", "url": "http://127.34.0.2/a.qcow2"},
        )


def test_a_disk_on_a_storage_of_another_node_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match="storage 'only-pve2' is not available on node 'pve1'"):
        site.create(9001, "pve1", scsi0="only-pve2:8")


def test_a_storage_of_a_given_size_fills_up(site: Site) -> None:
    ended = site.create(9001, "pve2", scsi0="only-pve2:11")
    assert ended == "unable to create VM 9001 - unable to write to storage 'only-pve2': No space left on device"


def test_the_configuration_of_a_storage_holds_only_options_of_pve(site: Site) -> None:
    options = site.api("GET", "/storage/only-pve2")
    assert options.keys() == {"storage", "type", "content", "pool", "nodes", "digest"}


def test_a_planted_volume_is_on_its_node_only(site: Site) -> None:
    volume = {"storage": "local-zfs", "name": "vm-9999-pvc-1", "size": GIB, "vmid": 9999, "node": "pve2"}
    site.control("POST", "/volumes", volume)
    assert (site.volumes("pve1", "local-zfs"), site.volumes("pve2", "local-zfs")) == ([], ["vm-9999-pvc-1"])


def test_a_planted_volume_on_a_shared_storage_is_on_every_node(site: Site) -> None:
    site.control("POST", "/volumes", {"storage": "ceph", "name": "vm-9999-pvc-1", "size": GIB, "vmid": 9999})
    assert site.volumes("pve1", "ceph") == site.volumes("pve2", "ceph") == ["vm-9999-pvc-1"]


def test_a_volume_is_deleted_on_its_node_only(site: Site) -> None:
    for node in ("pve1", "pve2"):
        volume = {"storage": "local-zfs", "name": "vm-9999-pvc-1", "size": GIB, "vmid": 9999, "node": node}
        site.control("POST", "/volumes", volume)
    site.task("DELETE", "/nodes/pve2/storage/local-zfs/content/local-zfs%3Avm-9999-pvc-1")
    assert (site.volumes("pve1", "local-zfs"), site.volumes("pve2", "local-zfs")) == (["vm-9999-pvc-1"], [])


def test_planted_volumes_can_be_swept_without_touching_a_disk_in_use(site: Site) -> None:
    site.create(9001, "pve1", scsi0="local-zfs:8")
    site.control("POST", "/volumes", {"storage": "ceph", "name": "vm-9999-pvc-1", "size": GIB, "vmid": 9999})
    site.control("DELETE", "/volumes")
    assert [volume["name"] for volume in site.control("GET", "/state")["volumes"]] == ["vm-9001-disk-0"]


# Power


class Nodes:
    """A node simulator that notes what it is told."""

    def __init__(self, path: Path) -> None:
        self.path = path
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


# The process


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    first = Site(tmp_path)
    first.create_node(9001)
    first.power(9001, "start")
    token = first.restricted(["VM.Audit"], on_user=True, on_token=True)
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


def test_the_process_ends_quickly_on_sigterm(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("listening on https://127.34.0.9:")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=3) == 0


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
    deadline = time.monotonic() + 5
    while not fulfilled():
        assert time.monotonic() < deadline, "waited five seconds in vain"
        time.sleep(0.01)
