"""The storage layer on the recorded graph: order, names that must agree, and what the switches add."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from checks.graph import Graph, Secret, reveal
from checks.program import recorded
from components.storage.csi_volume_names import VolumeNames
from components.storage.csi_volumes_command import PLAN, Plan
from components.talos.config import REGION_LABEL, ZONE_LABEL

NODES = ("controlplane-0", "controlplane-1", "controlplane-2", "worker-0", "worker-1")
VM = "proxmoxve:index/vmLegacy:VmLegacy"
LAST = "command:local:Command csi-volumes"
RELEASE = "kubernetes:helm.sh/v3:Release proxmox-csi"
UUID = "0f4d9e7c-1b2a-4c3d-8e5f-a0b1c2d3e4f5"


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


def driver_config(graph: Graph) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(reveal(graph["proxmox-csi-config"].inputs["stringData"])["config.yaml"])
    return read


def machine_config(graph: Graph, node: str) -> list[dict[str, Any]]:
    """The documents that the program adds to a node's machine configuration."""
    patches = json.loads(str(reveal(graph[f"lab-{node}"].inputs["machineConfigurationInput"])))
    return [yaml.safe_load(patch) for patch in patches]


def labels(graph: Graph, node: str) -> dict[str, str]:
    [found] = [d["machine"]["nodeLabels"] for d in machine_config(graph, node) if "nodeLabels" in d.get("machine", {})]
    return dict(found)


@pytest.mark.parametrize("node", NODES)
def test_volumes_end_after_the_last_vm(graph: Graph, node: str) -> None:
    assert graph.depends(f"{VM} {node}", LAST, transitive=True)


def test_volumes_end_on_hosts_that_have_no_node_any_more() -> None:
    def leave(settings: dict[str, Any]) -> None:
        for node in settings["nodes"].values():
            node["host"] = "pve1" if node["host"] == "pve3" else node["host"]
            node["memory"], node["cores"] = 4096, 2

    plan = Plan.loads(str(reveal(recorded(change=leave)[LAST].inputs["environment"][PLAN])))
    assert list(plan.hosts) == ["pve1", "pve2", "pve3"]


def test_volumes_end_while_proxmox_can_still_be_asked(graph: Graph) -> None:
    assert graph.depends(LAST, "pulumi:providers:proxmoxve proxmox", transitive=True)


def test_another_worker_does_not_change_the_end_of_volumes(graph: Graph) -> None:
    def add(settings: dict[str, Any]) -> None:
        worker = settings["nodes"]["worker-1"]
        another = {"address": "127.20.2.3", "vmId": 2999, "mac": "BC:24:11:00:29:99", "host": "pve3"}
        settings["nodes"]["worker-2"] = worker | another

    assert recorded(change=add)[LAST].inputs == graph[LAST].inputs


@pytest.mark.parametrize("node", NODES)
def test_the_drivers_region_is_the_nodes_region(graph: Graph, node: str) -> None:
    [cluster] = driver_config(graph)["clusters"]
    assert labels(graph, node)[REGION_LABEL] == cluster["region"]


@pytest.mark.parametrize("node", NODES)
def test_a_nodes_zone_is_the_proxmox_host_that_runs_it(graph: Graph, node: str) -> None:
    assert labels(graph, node)[ZONE_LABEL] == graph[f"{VM} {node}"].inputs["nodeName"]


def test_a_purge_looks_for_the_volumes_that_the_driver_makes(graph: Graph) -> None:
    plan = Plan.loads(graph[LAST].inputs["environment"][PLAN])
    [prefix] = [
        arg.partition("=")[2]
        for arg in graph[RELEASE].inputs["values"]["controller"]["provisioner"]["args"]
        if arg.startswith("--volume-name-prefix=")
    ]
    assert VolumeNames(plan.cluster).owns(f"{plan.datastore}:vm-9999-{prefix}-{UUID}")


def test_a_purge_refuses_by_the_tag_that_the_vms_carry(graph: Graph) -> None:
    plan = Plan.loads(graph[LAST].inputs["environment"][PLAN])
    assert [node for node in NODES if plan.tag not in graph[f"{VM} {node}"].inputs["tags"]] == []


def test_the_driver_logs_in_with_an_account_of_its_own(graph: Graph) -> None:
    [cluster] = driver_config(graph)["clusters"]
    assert (cluster["token_id"], cluster["token_secret"]) == ("lab-csi@pve!api", "planted-token")
    assert "password" not in cluster


def test_the_configuration_of_the_driver_is_secret(graph: Graph) -> None:
    assert isinstance(graph["proxmox-csi-config"].inputs["stringData"], Secret)


def test_there_is_one_default_class_and_it_keeps_its_volumes(graph: Graph) -> None:
    classes = graph.of_type("kubernetes:storage.k8s.io/v1:StorageClass")
    default = [c for c in classes if c.inputs["metadata"].get("annotations")]
    assert [(c.name, c.inputs["reclaimPolicy"], c.inputs["volumeBindingMode"]) for c in default] == [
        ("proxmox", "Retain", "WaitForFirstConsumer")
    ]


def test_the_default_class_is_on_the_datastore_where_the_driver_has_rights(graph: Graph) -> None:
    datastore = graph["kubernetes:storage.k8s.io/v1:StorageClass proxmox"].inputs["parameters"]["storage"]
    assert f"/storage/{datastore}" in {acl.inputs["path"] for acl in graph.of_type("proxmoxve:index/acl:Acl")}


def test_the_default_class_waits_for_the_driver(graph: Graph) -> None:
    assert graph.depends("kubernetes:storage.k8s.io/v1:StorageClass proxmox", RELEASE)


@pytest.mark.parametrize("node", NODES)
def test_kubelet_sees_every_directory_of_local_volumes(node: str) -> None:
    def local(settings: dict[str, Any]) -> None:
        settings["storage"] = {"localPaths": ["/var/lib/openebs/local"]}

    documents = machine_config(recorded(change=local), node)
    [mounts] = [d["machine"]["kubelet"]["extraMounts"] for d in documents if "extraMounts" in str(d)]
    assert [(m["source"], m["destination"]) for m in mounts] == [("/var/lib/openebs/local",) * 2]


def with_longhorn(settings: dict[str, Any]) -> None:
    settings["features"] = {"longhornV2": True}


def test_longhorn_is_off_by_default(graph: Graph) -> None:
    assert not [node for node in graph.nodes.values() if "longhorn" in node.name.lower()]


def test_longhorns_raw_disk_is_on_workers_alone() -> None:
    graph = recorded(change=with_longhorn)
    disks = {node: len(graph[f"{VM} {node}"].inputs["disks"]) for node in NODES}
    assert disks == {node: 2 if node.startswith("worker") else 1 for node in NODES}


def test_longhorns_huge_pages_are_on_workers_alone() -> None:
    graph = recorded(change=with_longhorn)
    holders = [node for node in NODES if "vm.nr_hugepages" in str(machine_config(graph, node))]
    assert holders == ["worker-0", "worker-1"]


def test_a_volume_on_longhorn_outlives_its_claim_as_one_on_proxmox_does() -> None:
    classes = recorded(change=with_longhorn).of_type("kubernetes:storage.k8s.io/v1:StorageClass")
    kept = {one.name: one.inputs["reclaimPolicy"] for one in classes}
    assert kept["longhorn-v2"] == kept["proxmox"] == "Retain"


def test_longhorn_uses_the_disk_that_the_workers_have() -> None:
    graph = recorded(change=with_longhorn)
    path = graph["kubernetes:helm.sh/v3:Release longhorn"].inputs["values"]["defaultSettings"]["defaultDataPath"]
    assert path.endswith(f"drive-{graph[f'{VM} worker-0'].inputs['disks'][1]['interface']}")


def with_snapshots(settings: dict[str, Any]) -> None:
    settings["storage"] = {"snapshots": True}


def test_snapshots_are_made_as_root_whom_alone_proxmox_lets_make_them() -> None:
    graph = recorded(change=with_snapshots)
    [cluster] = driver_config(graph)["clusters"]
    assert (cluster["username"], cluster["password"]) == ("root@pam", "planted-password")
    assert not graph.of_type("proxmoxve:index/roleLegacy:RoleLegacy")


def test_snapshots_without_roots_password_are_refused_with_the_reason() -> None:
    with pytest.raises(Exception, match=r"(?s)homelab:storage.snapshots: true needs Proxmox's root password.*root@pam"):
        recorded("prod", change=with_snapshots)
