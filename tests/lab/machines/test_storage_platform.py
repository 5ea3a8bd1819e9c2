"""Storage on a lab: the driver and its account, and volumes that outlive the cluster. The tests are steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.proxmox.api import ProxmoxApi, ProxmoxError
from tests.lab.live import LiveLab

GIB = 2**30
UUIDS = [f"{number}0000000-0000-4000-8000-000000000000" for number in range(1, 5)]
FIRST, SECOND, THIRD = (f"vm-9999-pvc-lab-{each}" for each in UUIDS[:3])
FOREIGN = f"vm-9999-pvc-lab-2-{UUIDS[3]}"


@pytest.fixture(scope="module")
def lab(cluster_lab: LiveLab) -> Iterator[LiveLab]:
    """The lab of machines, which is destroyed here, and comes back in the end."""
    yield cluster_lab
    back = cluster_lab.begin()
    assert back.returncode == 0, back.stdout


def kubectl(lab: LiveLab, *arguments: str) -> Any:
    answer = lab.run("kubectl", *arguments, "-o", "json")
    assert answer.returncode == 0, answer.stdout
    return json.loads(answer.stdout)


def plant(lab: LiveLab, name: str, host: str) -> None:
    """Make a volume as the driver does, which the lab has not."""
    volume = {"storage": "volumes", "name": name, "size": 10 * GIB, "vmid": 9999, "node": host}
    lab.proxmox("POST", "/volumes", volume)


def volumes(lab: LiveLab) -> set[str]:
    found = lab.proxmox("GET", "/state")["volumes"]
    return {volume["name"] for volume in found if volume["vmid"] == 9999}


def purge(settings: dict[str, Any]) -> None:
    settings["storage"] = settings.get("storage", {}) | {"onDestroy": "purge"}


def test_the_drivers_plugin_runs_on_every_node(lab: LiveLab) -> None:
    status = kubectl(lab, "-n", "csi-proxmox", "get", "daemonset", "proxmox-csi-plugin-node")["status"]
    assert status["numberReady"] == len(kubectl(lab, "get", "nodes")["items"])


def test_the_drivers_controller_runs_on_control_planes(lab: LiveLab) -> None:
    pods = kubectl(lab, "-n", "csi-proxmox", "get", "pods")["items"]
    nodes = {pod["spec"]["nodeName"] for pod in pods if "-controller-" in pod["metadata"]["name"]}
    assert len(nodes) == 2
    assert all(name.startswith("controlplane-") for name in nodes)


def test_claims_get_the_class_on_the_sites_datastore(lab: LiveLab) -> None:
    classes = kubectl(lab, "get", "storageclass")["items"]
    assert [(c["metadata"]["name"], c["parameters"]["storage"], c["reclaimPolicy"]) for c in classes] == [
        ("proxmox", "volumes", "Retain")
    ]


def test_the_drivers_token_reaches_its_datastore_and_no_other_vm(lab: LiveLab) -> None:
    api = lab.driver_api()
    lab.proxmox("POST", "/vms", {"vmid": 300, "node": "pve1", "name": "mail", "tags": "precious"})
    seen = {entry["vmid"] for entry in api.get("/cluster/resources?type=vm")}
    lab.remove_foreign_vm(300, "pve1")
    assert seen == set(lab.vms())
    assert api.get("/nodes/pve1/storage/volumes/status")["active"] == 1


def test_a_revoked_token_is_replaced_along_with_its_user(lab: LiveLab) -> None:
    endpoint, revoked = lab.driver_token()
    lab.proxmox_api().delete("/access/users/lab-csi@pve/token/api")
    replaced = lab.up("--replace", "**::csi-user")
    assert replaced.returncode == 0, replaced.stdout
    api = ProxmoxApi(endpoint, insecure=True)
    with pytest.raises(ProxmoxError, match="refused the API token"):
        api.use_token(revoked)
    api.use_token(lab.driver_token()[1])
    again = lab.up("--expect-no-changes")
    assert again.returncode == 0, again.stdout


def test_more_cores_leave_an_attached_volume_where_it_is(lab: LiveLab) -> None:
    def more(settings: dict[str, Any]) -> None:
        settings["nodes"]["worker-0"]["cores"] += 1

    plant(lab, FIRST, "pve1")
    lab.proxmox_api().put("/nodes/pve1/qemu/2001/config", {"scsi1": f"volumes:{FIRST},backup=0"})
    with lab.changed(more):
        changed = lab.up()
    assert changed.returncode == 0, changed.stdout
    assert FIRST in lab.proxmox_api().get("/nodes/pve1/qemu/2001/config")["scsi1"]
    assert lab.up().returncode == 0


def test_a_disk_grows_beside_an_attached_volume(lab: LiveLab) -> None:
    # It cannot shrink again: the destroy of the next test ends the difference from the settings.
    def larger(settings: dict[str, Any]) -> None:
        settings["nodes"]["worker-0"]["disk"] += 10

    before = lab.vms()[2001]["config"]["scsi0"]
    with lab.changed(larger):
        grown = lab.up()
        assert grown.returncode == 0, grown.stdout
        assert lab.up("--expect-no-changes").returncode == 0
    config = lab.vms()[2001]["config"]
    assert config["scsi0"] != before
    assert config["scsi0"].partition(",")[0] == before.partition(",")[0]
    assert FIRST in config["scsi1"]


def test_retained_volumes_outlive_the_cluster_and_are_listed(lab: LiveLab) -> None:
    plant(lab, FOREIGN, "pve2")
    destroyed = lab.destroy()
    assert destroyed.returncode == 0, destroyed.stdout
    assert lab.vms() == {}
    assert volumes(lab) == {FIRST, FOREIGN}
    assert "cluster lab leaves 1 volumes in Proxmox" in destroyed.stdout
    assert f"pve1/volumes:{FIRST} (10.0 GiB)" in destroyed.stdout
    assert FOREIGN not in destroyed.stdout


@pytest.mark.long
def test_a_purge_that_fails_half_way_is_finished_by_the_next_destroy(lab: LiveLab) -> None:
    with lab.changed(purge):
        brought_up = lab.up()
    assert brought_up.returncode == 0, brought_up.stdout
    plant(lab, SECOND, "pve1")
    plant(lab, THIRD, "pve2")
    lab.proxmox_api().put("/nodes/pve1/qemu/2001/config", {"scsi1": f"volumes:{SECOND},backup=0"})
    fault = {"kind": "http", "method": "DELETE", "path": THIRD, "times": 1, "message": "dataset is busy"}
    lab.proxmox("POST", "/faults", fault)
    stopped = lab.destroy()
    assert stopped.returncode != 0
    assert "these are left:" in stopped.stdout
    assert f"pve2/volumes:{THIRD} (10.0 GiB): Proxmox at" in stopped.stdout
    assert (lab.vms(), volumes(lab)) == ({}, {FIRST, THIRD, FOREIGN})
    finished = lab.destroy()
    assert finished.returncode == 0, finished.stdout
    assert f"deleted pve2/volumes:{THIRD} (10.0 GiB)" in finished.stdout


@pytest.mark.long
def test_a_purge_leaves_what_an_earlier_cluster_left_and_what_belongs_to_others(lab: LiveLab) -> None:
    assert volumes(lab) == {FIRST, FOREIGN}
    assert lab.state() == {}
    lab.proxmox("DELETE", "/volumes", {"storage": "volumes", "name": FOREIGN, "node": "pve2"})
