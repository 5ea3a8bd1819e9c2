"""What the components of Proxmox VE refuse, and what each makes when it stands alone."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pulumi
import pulumi_command as command
import pulumi_proxmoxve as proxmox
import pulumiverse_talos as talos
import pytest
import yaml

from checks.graph import UNKNOWN, Graph, Secret, record
from components.proxmox.account import ProxmoxAccount, ProxmoxAccountArgs
from components.proxmox.api import ProxmoxLogin
from components.proxmox.talos_image import TalosImage, TalosImageArgs
from components.proxmox.talos_vm import TalosVm, TalosVmArgs
from components.proxmox.vm_pool import VmPoolArgs


def alone(make: Any) -> Graph:
    """The graph of one component with providers of its own."""

    def program() -> None:
        providers = [
            proxmox.Provider("pve", endpoint="https://127.0.0.9:8006"),
            talos.Provider("talos"),
            command.Provider("command"),
        ]
        make(pulumi.ResourceOptions(providers=providers))

    return record(program)


def vm_args(**changes: Any) -> TalosVmArgs:
    known: dict[str, Any] = {
        "pool": "homelab-prod",
        "host": "pve1",
        "vm_id": 2001,
        "mac": "BC:24:11:00:20:01",
        "interface": IPv4Interface("10.0.2.1/16"),
        "gateway": IPv4Address("10.0.0.1"),
        "resolvers": [IPv4Address("10.0.0.1")],
        "domain": "example.org",
        "cores": 4,
        "memory": 8192,
        "disk": 40,
        "datastore": "local-zfs",
        "bridge": "vmbr0",
        "vlan": None,
        "image": "local:import/talos.qcow2",
        "start_order": 4,
        "tags": ["homelab-prod", "talos"],
        "agent": True,
        "delete_protection": False,
        "after": [],
        "outlived_by": [],
        "login": ProxmoxLogin(
            endpoint="https://127.0.0.9:8006", insecure=False, username=None, password=None, api_token=None
        ),
        "stack_tag": "homelab-prod",
        "hooks": pulumi.ResourceHookBinding(),
    }
    return TalosVmArgs(**known | changes)


def made_vm(**changes: Any) -> Any:
    def make(opts: pulumi.ResourceOptions) -> None:
        args = vm_args(**changes)
        login = replace(args.login, api_token=pulumi.Output.secret("planted-token"))
        TalosVm("worker-0", replace(args, login=login), opts)

    graph = alone(make)
    return graph["proxmoxve:index/vmLegacy:VmLegacy worker-0"]


def test_a_vm_gets_its_address_through_cloud_init() -> None:
    config = made_vm().inputs["initialization"]["ipConfigs"]
    assert config == [{"ipv4": {"address": "10.0.2.1/16", "gateway": "10.0.0.1"}}]


def test_a_vms_memory_does_not_balloon() -> None:
    assert made_vm().inputs["memory"] == {"dedicated": 8192, "floating": 0}


def test_a_vm_is_not_waited_for_by_its_agent() -> None:
    assert made_vm().inputs["agent"]["waitForIp"] == {"disabled": True}


def test_a_vlan_is_set_on_the_card_only_where_there_is_one() -> None:
    assert "vlanId" not in made_vm().inputs["networkDevices"][0]
    assert made_vm(vlan=30).inputs["networkDevices"][0]["vlanId"] == 30


def test_delete_protection_stops_both_pulumi_and_proxmox() -> None:
    vm = made_vm(delete_protection=True)
    assert (vm.inputs["protection"], vm.option("protect")) == (True, True)


def test_tags_that_proxmox_would_store_otherwise_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stores tags sorted, in lower case and without .*; give \['a', 'b'\]"):
        vm_args(tags=["b", "A"])


def account(**changes: Any) -> ProxmoxAccountArgs:
    known: dict[str, Any] = {
        "account": "prod-csi",
        "comment": "test",
        "privileges": ["VM.Audit"],
        "paths": ["/storage/local-zfs"],
    }
    return ProxmoxAccountArgs(**known | changes)


def test_an_account_over_the_whole_site_is_refused() -> None:
    with pytest.raises(ValueError, match="path / gives rights over the whole site"):
        account(paths=["/"])


def test_an_account_on_a_single_vm_is_refused_as_its_rights_would_go_with_the_vm() -> None:
    with pytest.raises(ValueError, match="removes what is granted on /vms/2001 together with the VM; name the pool"):
        account(paths=["/vms/2001"])


def test_a_pool_that_proxmox_would_refuse_is_refused() -> None:
    with pytest.raises(ValueError, match="pool '7-prod': Proxmox requires a letter at its beginning"):
        VmPoolArgs(pool="7-prod", comment="test")


def test_an_account_that_can_do_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="without privileges or paths can do nothing"):
        account(privileges=[])


def test_an_accounts_token_is_a_secret() -> None:
    graph = alone(lambda opts: ProxmoxAccount("csi", account(), opts))
    assert graph["homelab:proxmox:ProxmoxAccount csi"].outputs["token_secret"] == Secret(UNKNOWN)


def image(**changes: Any) -> TalosImageArgs:
    known: dict[str, Any] = {
        "factory": "https://factory.example.org",
        "owner": "homelab-prod",
        "version": "v1.13.9",
        "extensions": ["siderolabs/tailscale", "siderolabs/qemu-guest-agent"],
        "kernel_args": [],
        "datastores": {"pve1": "local"},
    }
    return TalosImageArgs(**known | changes)


def test_another_order_of_extensions_is_the_same_image() -> None:
    other = image(extensions=["siderolabs/qemu-guest-agent", "siderolabs/tailscale"])
    assert image().schematic() == other.schematic()


def test_kernel_arguments_are_part_of_the_schematic() -> None:
    schematic = yaml.safe_load(image(kernel_args=["mitigations=off"]).schematic())
    assert schematic["customization"]["extraKernelArgs"] == ["mitigations=off"]


def test_every_host_gets_the_image_once() -> None:
    graph = alone(lambda opts: TalosImage("talos", image(datastores={"pve1": "local", "pve2": "nfs"}), opts))
    files = graph.of_type("proxmoxve:download/file:File")
    assert {(f.inputs["nodeName"], f.inputs["datastoreId"]) for f in files} == {("pve1", "local"), ("pve2", "nfs")}


def test_hosts_that_share_a_datastore_get_the_image_once() -> None:
    stores = {"pve1": "nfs", "pve2": "local", "pve3": "nfs"}
    graph = alone(lambda opts: TalosImage("talos", image(datastores=stores, shared=["nfs"]), opts))
    files = graph.of_type("proxmoxve:download/file:File")
    assert {(f.name, f.inputs["nodeName"]) for f in files} == {("talos-shared-nfs", "pve1"), ("talos-pve2", "pve2")}
    assert [f.name for f in files if f.option("deleteBeforeReplace")] == ["talos-shared-nfs"]


def test_a_data_disk_is_out_of_the_way_of_attached_volumes() -> None:
    interfaces = [disk["interface"] for disk in made_vm(data_disk=100).inputs["disks"]]
    assert interfaces == ["scsi0", "scsi30"]


def test_a_data_disk_has_no_image() -> None:
    assert "importFrom" not in made_vm(data_disk=100).inputs["disks"][1]


def test_an_accounts_token_goes_with_its_user_and_not_by_itself() -> None:
    graph = alone(lambda opts: ProxmoxAccount("csi", account(), opts))
    assert graph["proxmoxve:user/token:Token csi-token"].option("retainOnDelete") is True
    assert graph["proxmoxve:index/userLegacy:UserLegacy csi-user"].option("deleteBeforeReplace") is True
