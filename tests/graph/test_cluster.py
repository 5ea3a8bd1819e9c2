"""Order, references and options of the cluster's resources, on the recorded graph of stack lab."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import pytest

from checks.graph import Graph, Node, Secret, reveal
from checks.program import recorded
from components.talos.node_removal_command import CREDENTIALS
from components.talos.power import SHUTDOWN_SECONDS

VM = "proxmoxve:index/vmLegacy:VmLegacy"
NODES = ("controlplane-0", "controlplane-1", "controlplane-2", "worker-0", "worker-1")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return recorded()


def vm(name: str) -> str:
    return f"{VM} {name}"


def removal(name: str) -> str:
    return f"command:local:Command node-removal-{name}"


@pytest.mark.parametrize(("earlier", "later"), pairwise(NODES))
def test_a_vm_is_changed_only_after_the_one_before_it(graph: Graph, earlier: str, later: str) -> None:
    assert graph.depends(vm(later), vm(earlier))


@pytest.mark.parametrize(("earlier", "later"), pairwise(NODES))
def test_a_node_is_configured_only_after_the_one_before_it(graph: Graph, earlier: str, later: str) -> None:
    assert graph.depends(f"lab-{later}", f"lab-{earlier}")


@pytest.mark.parametrize("name", NODES)
def test_no_node_is_configured_while_a_vm_may_restart(graph: Graph, name: str) -> None:
    assert all(graph.depends("lab-controlplane-0", vm(name)) for name in NODES)
    assert graph.depends(f"lab-{name}", vm("worker-1"), transitive=True)


@pytest.mark.parametrize("name", NODES)
def test_the_kubeconfig_waits_for_every_node(graph: Graph, name: str) -> None:
    assert graph.depends("lab-kubeconfig", f"lab-{name}")


@pytest.mark.parametrize("name", NODES)
def test_a_node_leaves_before_its_vm_goes(graph: Graph, name: str) -> None:
    assert graph.depends(removal(name), vm(name))


@pytest.mark.parametrize("name", NODES)
def test_a_node_leaves_before_its_configuration_goes(graph: Graph, name: str) -> None:
    # Named, not by way of the VM: a replaced VM brings down only what depends on it itself.
    assert f"lab-{name}" in {graph[urn].name for urn in graph[removal(name)].dependencies}


@pytest.mark.parametrize(("earlier", "later"), combinations(NODES[:3], 2))
def test_two_control_planes_never_leave_at_once(graph: Graph, earlier: str, later: str) -> None:
    assert graph.depends(removal(later), removal(earlier))


def test_a_node_can_leave_only_a_cluster_that_was_up(graph: Graph) -> None:
    assert graph.depends(removal(NODES[0]), "lab-kubeconfig")


@pytest.mark.parametrize("name", NODES)
def test_no_node_leaves_a_cluster_that_goes_as_a_whole(graph: Graph, name: str) -> None:
    assert graph[removal(name)].option("deletedWith") == graph["talos:machine/secrets:Secrets talos-secrets"].urn


@pytest.mark.parametrize("name", NODES)
def test_a_node_leaves_with_the_clusters_credentials_as_a_secret(graph: Graph, name: str) -> None:
    assert isinstance(graph[removal(name)].inputs["environment"][CREDENTIALS], Secret)


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize(("resource", "key"), [("lab-{}", "applyMode"), (removal("{}"), "triggers")])
def test_a_vm_that_is_made_anew_takes_its_configuration_along(graph: Graph, name: str, resource: str, key: str) -> None:
    dependent = resource.format(name)
    assert graph.depends(dependent, vm(name), via=key)
    assert graph[dependent].option("deleteBeforeReplace")


def test_nothing_is_done_to_a_node_that_stays(graph: Graph) -> None:
    made = graph[removal("worker-0")].inputs
    assert (made["create"], made["delete"], made.get("update")) == (
        "true",
        ".venv/bin/python -m program node-removal",
        None,
    )


def test_kubernetes_is_reached_only_with_the_released_kubeconfig(graph: Graph) -> None:
    assert graph.depends("pulumi:providers:kubernetes kubernetes", "lab-kubeconfig", via="kubeconfig")


def test_a_changed_address_does_not_replace_what_is_in_the_cluster(graph: Graph) -> None:
    identifier = graph["pulumi:providers:kubernetes kubernetes"].inputs["clusterIdentifier"]
    assert identifier == Secret("planted-cluster-id")


def test_everything_in_kubernetes_goes_with_the_first_control_plane(graph: Graph) -> None:
    inside = [node for node in graph.nodes.values() if node.type.startswith("kubernetes:")]
    foundation = graph[vm("controlplane-0")].urn
    assert inside
    assert [_deleted_with(graph, node) for node in inside] == [foundation] * len(inside)


def _deleted_with(graph: Graph, node: Node) -> str:
    """`deletedWith` of the nearest ancestor that has one: the engine hands it down."""
    while not (found := str(node.option("deletedWith"))) and node.parent:
        node = graph.nodes[node.parent]
    return found


@pytest.mark.parametrize("name", NODES)
def test_a_disk_is_imported_from_the_image_on_its_own_host(graph: Graph, name: str) -> None:
    host = graph[vm(name)].inputs["nodeName"]
    assert graph.depends(vm(name), f"talos-{host}", via="disks")


@pytest.mark.parametrize("name", NODES)
def test_a_new_image_does_not_touch_a_running_vm(graph: Graph, name: str) -> None:
    assert "disks[0].importFrom" in graph[vm(name)].option("ignoreChanges")


@pytest.mark.parametrize("name", NODES)
def test_a_vm_carries_the_tag_of_its_stack(graph: Graph, name: str) -> None:
    assert "homelab-lab" in graph[vm(name)].inputs["tags"]


@pytest.mark.parametrize("name", NODES)
def test_a_vm_is_checked_before_it_is_made_and_around_its_change(graph: Graph, name: str) -> None:
    assert graph[vm(name)].hooks == {
        "before_create": ["vm-id-is-free"],
        "before_update": ["quorum-survives-vm-restart", "vm-is-as-recorded"],
        "after_update": ["node-is-back-after-vm-restart"],
        "on_error": ["lost-login-is-told"],
    }


def test_a_login_that_is_lost_on_the_way_is_explained_for_everything_in_proxmox(graph: Graph) -> None:
    in_proxmox = [node for node in graph.nodes.values() if node.type.startswith("proxmoxve:")]
    assert in_proxmox
    assert [node for node in in_proxmox if node.hooks.get("on_error") != ["lost-login-is-told"]] == []


def test_the_site_is_checked_before_anything_is_made(graph: Graph) -> None:
    provider = graph["pulumi:providers:proxmoxve proxmox"]
    assert provider.hooks["before_create"] == ["proxmox-is-ready"]
    others = [n for n in graph.nodes.values() if n.custom and n is not provider]
    assert [n for n in others if not graph.depends(n.urn, provider.urn, transitive=True)] == []


def test_the_tailscale_key_reaches_only_new_nodes(graph: Graph) -> None:
    applied = graph["lab-worker-0"]
    assert isinstance(applied.inputs["configPatches"], Secret)
    assert "planted-auth-key" in str(reveal(applied.inputs["configPatches"]))
    assert "planted-auth-key" not in str(reveal(applied.inputs["machineConfigurationInput"]))
    assert "configPatches" in applied.option("ignoreChanges")


def test_only_control_planes_let_tailscale_into_the_kernels_network(graph: Graph) -> None:
    settings = {n: str(reveal(graph[f"lab-{n}"].inputs["machineConfigurationInput"])) for n in NODES}
    kernel = [n for n, text in settings.items() if "TS_USERSPACE=false" in text and "TS_ROUTES=127.20.3.0/27" in text]
    user = [n for n, text in settings.items() if "TS_USERSPACE=true" in text and "TS_ROUTES" not in text]
    assert kernel == ["controlplane-0", "controlplane-1", "controlplane-2"]
    assert user == ["worker-0", "worker-1"]


def test_only_control_planes_hold_the_vip(graph: Graph) -> None:
    holders = [
        n for n in NODES if "Layer2VIPConfig" in str(reveal(graph[f"lab-{n}"].inputs["machineConfigurationInput"]))
    ]
    assert holders == ["controlplane-0", "controlplane-1", "controlplane-2"]


def test_the_csi_account_has_rights_on_its_datastore_and_this_clusters_vms_alone(graph: Graph) -> None:
    paths = {n.inputs["path"] for n in graph.of_type("proxmoxve:index/acl:Acl")}
    assert paths == {"/storage/local-zfs", *(f"/vms/{graph[vm(name)].inputs['vmId']:.0f}" for name in NODES)}


def test_a_worker_more_changes_only_that_workers_resources(graph: Graph) -> None:
    def add(settings: dict[str, Any]) -> None:
        worker = settings["nodes"]["worker-1"]
        settings["nodes"]["worker-2"] = worker | {
            "address": "127.20.2.3",
            "vmId": 2999,
            "mac": "BC:24:11:00:29:99",
            "host": "pve3",
        }

    larger = recorded(change=add)
    new = {urn.rpartition("::")[2] for urn in larger.nodes.keys() - graph.nodes.keys()}
    assert new == {"worker-2", "lab-worker-2", "csi-acl-vms-2999", "headscale-worker-2", "node-removal-worker-2"}
    changed = [n.name for n in graph.nodes.values() if larger.nodes[n.urn].inputs != n.inputs]
    assert changed == []


TALOS_DRAINS_FOR = 60 + 300
"""Seconds that Talos may take to cordon a node and evict its pods before it even begins to stop."""


def test_no_shutdown_of_a_node_is_cut_short_while_it_drains(graph: Graph) -> None:
    vms = [node.inputs for node in graph.nodes.values() if node.type == VM]
    assert vms
    for vm in vms:
        # When the host itself shuts down, and when the provider restarts the VM for a change.
        assert vm["startup"]["downDelay"] > TALOS_DRAINS_FOR
        assert vm["timeoutShutdownVm"] > TALOS_DRAINS_FOR
    assert SHUTDOWN_SECONDS > TALOS_DRAINS_FOR


def test_the_kubernetes_api_is_reached_on_the_port_that_talos_gives_it(graph: Graph) -> None:
    # Talos's default, and this program sets no other: `.cluster.controlPlane.localAPIServerPort`.
    assert str(graph.stack.outputs["apiEndpoint"]).endswith(":6443")
