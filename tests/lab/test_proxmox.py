"""The simulated Proxmox VE: VMs and their disks, as the real provider and the program meet them."""

from __future__ import annotations

import pytest

from tests.lab.proxmox_site import GIB, Refused, Site

VOLUME = "vm-9999-pvc-lab-11111111-2222-4333-8444-555555555555"


def attach_volume(site: Site) -> None:
    """Attach a volume to VM 9001 as a CSI driver does."""
    site.control(
        "POST", "/volumes", {"storage": "local-zfs", "node": "pve1", "vmid": 9999, "size": GIB, "name": VOLUME}
    )
    site.api("PUT", "/nodes/pve1/qemu/9001/config", {"scsi1": f"local-zfs:{VOLUME},backup=0"})


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


def test_a_moved_vm_and_its_local_disks_are_on_the_other_host_alone(site: Site) -> None:
    site.create_node(9001)
    site.power(9001, "start")
    site.control("POST", "/moves", {"vmid": 9001, "node": "pve2"})
    with pytest.raises(Refused, match=r"500 Configuration file 'nodes/pve1/qemu-server/9001\.conf' does not exist"):
        site.config(9001)
    assert site.api("GET", "/nodes/pve2/qemu/9001/status/current")["status"] == "running"
    disks = {"vm-9001-cloudinit", "vm-9001-disk-0"}
    assert (disks & {*site.volumes("pve1", "local-zfs")}, disks & {*site.volumes("pve2", "local-zfs")}) == (
        set(),
        disks,
    )
