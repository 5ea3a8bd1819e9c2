"""The simulated Proxmox VE: nodes, images and storages, as the real provider and the program meet them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.image_server import image_server
from tests.lab.proxmox_site import GIB, IMAGE_BYTES, Refused, Site


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


def url_metadata(site: Site, node: str, url: str) -> Any:
    return site.api("GET", f"/nodes/{node}/query-url-metadata?url={url}")


def test_the_size_of_a_url_is_that_of_the_image_it_becomes(site: Site) -> None:
    with image_server() as server:
        metadata = url_metadata(site, "pve1", server.url)
    assert (metadata["filename"], metadata["size"]) == ("talos.qcow2", IMAGE_BYTES)


def test_a_url_that_its_server_does_not_have_is_refused(site: Site) -> None:
    with (
        image_server(statuses=(404,)) as server,
        pytest.raises(Refused, match="invalid server response: '404 Not Found'"),
    ):
        url_metadata(site, "pve2", server.url)


def test_a_url_where_no_server_answers_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match=r"invalid server response: '500 Can't connect to 127\.34\.0\.2:9"):
        url_metadata(site, "pve1", "http://127.34.0.2:9/talos.qcow2")


def test_the_node_that_serves_the_api_waits_for_a_slow_url(site: Site) -> None:
    with image_server(seconds=3) as server:
        assert url_metadata(site, "pve1", server.url)["filename"] == "talos.qcow2"


def test_another_node_is_not_waited_for_when_a_url_is_slow(site: Site) -> None:
    with image_server(seconds=3) as server, pytest.raises(Refused, match="596 Connection timed out"):
        url_metadata(site, "pve2", server.url)


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
