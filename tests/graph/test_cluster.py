"""Order, references and options of the cluster's resources, on the recorded graph of stack lab."""

from __future__ import annotations

import asyncio
import json
from itertools import combinations, pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from checks.graph import Graph, Node, Secret, reveal
from checks.program import recorded
from components.proxmox.api import PASSWORD
from components.talos.api import CREDENTIALS
from components.talos.power import SHUTDOWN_SECONDS
from components.talos.volume_zones_command import PLAN as VOLUME_ZONES_PLAN

VM = "proxmoxve:index/vmLegacy:VmLegacy"
POOL = "proxmoxve:index/poolLegacy:PoolLegacy vm-pool"
ZONES = "command:local:Command volume-zones"
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


@pytest.mark.parametrize("name", NODES)
def test_a_node_that_is_made_anew_is_configured_from_the_start(graph: Graph, name: str) -> None:
    # Nothing in the configuration has changed, so only a replacement applies it again.
    assert "applyMode" in graph[f"lab-{name}"].option("replaceOnChanges")


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
def test_nothing_about_disks_reaches_an_existing_vm_through_the_provider(graph: Graph, name: str) -> None:
    # A new image neither; tests/lab/test_vm_update.py shows what the provider would do.
    assert list(graph[vm(name)].option("ignoreChanges")) == ["disks"]


@pytest.mark.parametrize("name", NODES)
def test_what_is_ignored_of_a_disk_is_in_the_description_so_that_a_change_runs_the_hook(
    graph: Graph, name: str
) -> None:
    [disk] = graph[vm(name)].inputs["disks"]
    expected = f"disks on {disk['datastoreId']}: {disk['interface']} {disk['size']:.0f} GiB"
    assert expected in graph[vm(name)].inputs["description"]


def test_what_two_stacks_at_one_site_download_is_never_one_file() -> None:
    files = recorded(known=True).of_type("proxmoxve:download/file:File")
    assert files
    assert [file.name for file in files if not str(file.inputs["fileName"]).startswith("homelab-lab-talos-v")] == []


def test_hosts_that_share_a_datastore_have_one_file_that_outlives_all_but_the_last_of_them() -> None:
    def share(settings: dict[str, Any]) -> None:
        for host in settings["site"]["hosts"].values():
            host["imageDatastore"] = "nfs"
        settings["site"]["sharedImageDatastores"] = ["nfs"]

    graph = recorded(change=share)
    [file] = graph.of_type("proxmoxve:download/file:File")
    assert file.hooks["before_create"] == ["image-store-is-as-declared", "image-is-built"]
    assert all(graph.depends(vm(name), file.urn, via="disks") for name in NODES)


@pytest.mark.parametrize("installed", [True, False])
def test_proxmox_expects_a_guest_agent_exactly_where_the_image_has_one(installed: bool) -> None:
    def switch(settings: dict[str, Any]) -> None:
        settings.setdefault("talos", {}).setdefault("extensions", {})["qemuGuestAgent"] = installed

    graph = recorded(change=switch)
    [schematic] = graph.of_type("talos:imageFactory/schematic:Schematic")
    assert ("siderolabs/qemu-guest-agent" in schematic.inputs["schematic"]) is installed
    assert {graph[vm(name)].inputs["agent"]["enabled"] for name in NODES} == {installed}


@pytest.mark.parametrize("name", NODES)
def test_another_host_never_makes_a_vm_anew(graph: Graph, name: str) -> None:
    assert graph[vm(name)].inputs["migrate"] is True


@pytest.mark.parametrize("name", NODES)
def test_a_vm_carries_the_tag_of_its_stack(graph: Graph, name: str) -> None:
    assert "homelab-lab" in graph[vm(name)].inputs["tags"]


@pytest.mark.parametrize("name", NODES)
def test_a_vm_is_checked_before_it_is_made_and_around_its_change(graph: Graph, name: str) -> None:
    assert graph[vm(name)].hooks == {
        "before_create": ["vm-id-is-free"],
        "before_update": ["quorum-survives-vm-restart", "vm-is-as-recorded"],
        "after_update": ["node-is-back-after-vm-restart"],
        "on_error": ["lost-access-is-told"],
    }


class _AskedError(Exception):
    """Raised where etcd's quorum would be asked for."""


@pytest.mark.parametrize(
    ("resource", "change"),
    [(vm("controlplane-1"), {}), ("lab-controlplane-1", {"node": "127.20.1.2"})],
    ids=["of a VM", "of a configuration"],
)
def test_what_runs_before_a_change_asks_for_the_quorum_without_that_node(
    graph: Graph, resource: str, change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not by the name of the hook: what is bound to the resource is run. What its answer does is in tests/unit/talos.
    hook = graph.hook(graph[resource].hooks["before_update"][0])
    checks = cast(Any, hook.callback).__globals__["TalosChecks"]

    async def asked(_: object, name: str) -> None:
        raise _AskedError(name)

    async def nothing(_: object) -> None:
        pass

    monkeypatch.setattr(checks, "_quorum_survives_without", asked)
    monkeypatch.setattr(checks, "_versions_may_change", nothing)
    args = SimpleNamespace(name="controlplane-1", new_inputs=change, old_inputs=change)
    with pytest.raises(_AskedError, match="controlplane-1"):
        asyncio.run(cast(Any, hook.callback)(args))


def test_an_image_is_built_before_a_host_downloads_it(graph: Graph) -> None:
    files = graph.of_type("proxmoxve:download/file:File")
    assert len(files) == 3
    assert [file.hooks["before_create"] for file in files] == [["image-store-is-as-declared", "image-is-built"]] * 3


def test_a_login_that_is_lost_on_the_way_is_explained_for_everything_in_proxmox(graph: Graph) -> None:
    in_proxmox = [node for node in graph.nodes.values() if node.type.startswith("proxmoxve:")]
    assert in_proxmox
    assert [node for node in in_proxmox if node.hooks.get("on_error") != ["lost-access-is-told"]] == []


def test_the_site_is_checked_before_anything_is_made(graph: Graph) -> None:
    provider = graph["pulumi:providers:proxmoxve proxmox"]
    assert provider.hooks["before_create"] == ["proxmox-is-ready"]
    # Credentials that Proxmox refuses must not take the place of those by which a destroy can log in.
    assert provider.hooks["before_update"] == provider.hooks["before_create"]
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


def end(name: str) -> str:
    return f"command:local:Command vm-end-{name}"


def rebuild(name: str) -> str:
    return f"command:local:Command vm-rebuild-{name}"


@pytest.mark.parametrize("name", NODES)
def test_a_vm_is_deleted_where_it_is_and_not_by_the_provider(graph: Graph, name: str) -> None:
    assert graph[vm(name)].option("deletedWith") == graph[end(name)].urn
    assert graph[end(name)].inputs["delete"] == ".venv/bin/python -m program vm remove"


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("later", ["command:local:Command csi-volumes", POOL, "headscale-{}"])
def test_what_outlives_a_vm_is_deleted_after_it(graph: Graph, name: str, later: str) -> None:
    assert graph.depends(end(name), later.format(name))


@pytest.mark.parametrize("name", NODES)
def test_a_vm_that_is_to_be_made_anew_is_checked_before_its_node_leaves(graph: Graph, name: str) -> None:
    assert graph.depends(rebuild(name), vm(name), via="triggers")
    assert graph.depends(rebuild(name), removal(name))
    assert graph[rebuild(name)].option("deleteBeforeReplace")
    assert graph.depends(rebuild(name), f"talos-{graph[vm(name)].inputs['nodeName']}", via="environment")


@pytest.mark.parametrize("name", NODES)
def test_a_vm_that_goes_for_good_needs_nothing_of_a_new_one(graph: Graph, name: str) -> None:
    assert graph[rebuild(name)].option("deletedWith") == graph[end(name)].urn


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("command", [end, rebuild])
def test_the_commands_about_a_vm_have_the_login_as_a_secret(graph: Graph, name: str, command: Any) -> None:
    assert isinstance(graph[command(name)].inputs["environment"][PASSWORD], Secret)


def test_the_csi_account_has_rights_on_its_datastore_and_on_the_pool_of_this_clusters_vms_alone(graph: Graph) -> None:
    paths = {n.inputs["path"] for n in graph.of_type("proxmoxve:index/acl:Acl")}
    assert paths == {"/storage/volumes", f"/pool/{graph[POOL].inputs['poolId']}"}


def test_what_is_granted_on_the_pool_goes_before_it(graph: Graph) -> None:
    assert [n.name for n in graph.of_type("proxmoxve:index/acl:Acl") if not graph.depends(n.urn, POOL)] == []


@pytest.mark.parametrize("name", NODES)
def test_a_vm_is_made_in_the_pool_of_its_stack(graph: Graph, name: str) -> None:
    # Also the order of their deletion: Proxmox keeps a pool that has members.
    assert graph.depends(vm(name), POOL, via="poolId")


def test_two_stacks_at_one_site_have_pools_of_their_own() -> None:
    pools = [recorded(stack)[POOL].inputs["poolId"] for stack in ("lab", "prod")]
    assert pools == ["homelab-lab", "homelab-prod"]


def test_another_worker_changes_only_its_own_resources(graph: Graph) -> None:
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
    assert new == {"worker-2", "lab-worker-2", "headscale-worker-2", "node-removal-worker-2"} | {
        "vm-end-worker-2",
        "vm-rebuild-worker-2",
    }
    changed = [n.name for n in graph.nodes.values() if larger.nodes[n.urn].inputs != n.inputs]
    # Its host is a new zone, and its kubelet asks for a certificate; neither makes a change to a node.
    assert sorted(changed) == ["kubelet-certificates", "volume-zones"]


def test_whether_volumes_would_be_stranded_is_asked_before_any_vm_changes(graph: Graph) -> None:
    for name in NODES:
        assert graph.depends(vm(name), ZONES, transitive=True)


def test_the_zones_are_those_of_nodes_that_take_ordinary_pods() -> None:
    def only_control_planes(settings: dict[str, Any]) -> None:
        settings["nodes"] = {name: node for name, node in settings["nodes"].items() if node["role"] == "controlplane"}

    def zones(graph: Graph) -> list[str]:
        return list(json.loads(graph[ZONES].inputs["environment"][VOLUME_ZONES_PLAN])["zones"])

    assert zones(recorded()) == ["pve1", "pve2"]
    assert zones(recorded(change=only_control_planes)) == ["pve1", "pve2", "pve3"]


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
