"""A VM of the program's through the real engine and the upstream provider: changed, moved, made anew, and deleted.

A volume is attached to it all the time, as the CSI driver does it. The tests are steps.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import pulumi_program
from tests.lab.live import ROOT
from tests.lab.proxmox_site import GIB, HOST, PASSWORD, Site
from tests.lab.pulumi_program import Program

VM, NAME = 2001, "worker-0"
NEXT = 2002
"""Made and changed after that one, as nodes follow each other."""
VOLUME = "vm-9999-pvc-lab-11111111-2222-4333-8444-555555555555"

PROGRAM = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})

from ipaddress import IPv4Address, IPv4Interface

import pulumi
import pulumi_command as command
import pulumi_proxmoxve as proxmox

from components.proxmox.api import ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.site.plan import PlannedSite
from components.proxmox.talos_vm import DISK_OPTIONS, TalosVm, TalosVmArgs, disks
from components.proxmox.vm_pool import VmPool, VmPoolArgs
from components.proxmox.vm_rebuilds import VmRebuilds, VmRebuildsArgs
from components.proxmox.vm_update import PlannedVm

config = pulumi.Config()
vm = {{
    "host": "pve1", "cores": 2, "memory": 2048, "disk": 20, "data_disk": None, "datastore": "local-zfs", "vlan": None,
    "network": "127.34.2.", "resolver": "127.34.2.254", "start_order": 1, "tags": ["homelab-trial", "talos"],
}} | (config.get_object("vm") or {{}})
login = ProxmoxLogin(
    endpoint=config.require("endpoint"), insecure=True, username="root@pam",
    password=config.require_secret("password"), api_token=None,
)
numbers = {{"{NAME}": 1}} | ({{"worker-1": 2}} if vm.get("next") else {{}})
planned = {{
    name: PlannedVm(
        vm_id=2000 + number, host=vm["host"], address=vm["network"] + str(number), datastore=vm["datastore"],
        disks=disks(vm["disk"], vm["data_disk"]), options=DISK_OPTIONS,
    )
    for name, number in numbers.items()
}}
checks = ProxmoxChecks(login=login, site=PlannedSite(tag="homelab-trial", vms=planned))
provider = proxmox.Provider(
    "proxmox", endpoint=login.endpoint, insecure=True, username=login.username, password=login.password
)
opts = pulumi.ResourceOptions(providers=[provider, command.Provider("command")])
pool = VmPool(
    "vm-pool",
    VmPoolArgs(
        pool="homelab-trial", comment=checks.site.pool_comment,
        hooks=pulumi.ResourceHookBinding(before_create=[checks.before_pool()]),
    ),
    opts,
)
hooks = pulumi.ResourceHookBinding(before_create=[checks.before_create()], before_update=[checks.before_update()])
made, commands = {{}}, {{}}
for name, number in numbers.items():
    made[name] = TalosVm(
        name,
        TalosVmArgs(
            pool=pool.id, host=vm["host"], vm_id=2000 + number, mac=f"BC:24:11:00:20:0{{number}}",
            interface=IPv4Interface(planned[name].address + "/24"),
            gateway=IPv4Address("127.34.2.254"), resolvers=[IPv4Address(vm["resolver"])], domain="trial.test",
            cores=vm["cores"], memory=vm["memory"], disk=vm["disk"], datastore=vm["datastore"], bridge="vmbr0",
            vlan=vm["vlan"], image="local:import/talos.qcow2", start_order=vm["start_order"], tags=vm["tags"],
            agent=True, delete_protection=False, data_disk=vm["data_disk"], after=list(commands.values()),
            outlived_by=[pool.pool], login=login, stack_tag="homelab-trial", hooks=hooks,
        ),
        opts,
    )
    commands[name] = made[name].vm
VmRebuilds("vm-rebuild", VmRebuildsArgs(vms=made, login=login, after=commands), opts)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with an image on each host."""
    running = Site(tmp_path_factory.mktemp("site"))
    for host in ("pve1", "pve2"):
        assert running.download(host) == "OK"
    yield running
    running.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Program]:
    """The program after its first `up`."""
    root = tmp_path_factory.mktemp("vm")
    secrets = {"password": PASSWORD}
    with pulumi_program.program(root, PROGRAM, providers=["proxmoxve", "command"], secrets=secrets) as program:
        program.set(endpoint=f"https://{HOST}:{site.server.pve.port}/")
        # What the commands of the program name, relative to its directory.
        for name in (".venv", "program", "components"):
            (program.directory / name).symlink_to(ROOT / name)
        program.up()
        yield program


@pytest.fixture(autouse=True)
def attached(site: Site, program: Program) -> None:
    """A volume on the VM, made and attached as the CSI driver does, also where the test before lost it."""
    assert program
    host = place(site)
    if VOLUME not in site.volumes(host, "local-zfs"):
        volume = {"storage": "local-zfs", "node": host, "vmid": 9999, "size": GIB, "name": VOLUME}
        site.control("POST", "/volumes", volume)
    if "scsi1" not in site.config(VM, host):
        drive = f"local-zfs:{VOLUME},backup=0,wwn=0x5056432d49443031"
        site.api("PUT", f"/nodes/{host}/qemu/{VM}/config", {"scsi1": drive})


def vm_of(site: Site, vm_id: int = VM) -> dict[str, Any]:
    [vm] = [each for each in site.control("GET", "/state")["vms"] if each["vmid"] == vm_id]
    return dict(vm)


def place(site: Site) -> str:
    """The host that the VM is on."""
    return str(vm_of(site)["node"])


def disk_of(site: Site) -> str:
    """The name of the VM's system disk with what Proxmox keeps of its origin: another disk tells of another life."""
    return str(vm_of(site)["config"]["scsi0"])


def wanted(program: Program, **changes: Any) -> None:
    """Set what the settings want of the VM."""
    program.set(vm=json.dumps(changes))


def edited(program: Program, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what the state records of the VM."""
    file = program.directory / "state.json"
    program.pulumi("stack", "export", "--file", str(file))
    state = json.loads(file.read_text())
    [vm] = [resource for resource in state["deployment"]["resources"] if resource["type"].endswith(":VmLegacy")]
    change(vm)
    file.write_text(json.dumps(state))
    program.pulumi("stack", "import", "--file", str(file))


def test_a_vm_is_made_in_its_pool(site: Site) -> None:
    assert site.control("GET", "/state")["pools"]["homelab-trial"]["vms"] == [VM]


@pytest.mark.parametrize(
    "change",
    [
        {"cores": 3},
        {"memory": 3072},
        {"disk": 30},
        {"disk": 30, "data_disk": 10},
        {"disk": 30, "vlan": 7},
        {"disk": 30, "resolver": "127.34.2.253"},
        {"disk": 30, "start_order": 2},
        {"disk": 30, "tags": ["homelab-trial", "talos", "worker"]},
    ],
    ids=lambda change: "-".join(change),
)
def test_a_volume_stays_attached_whatever_changes(site: Site, program: Program, change: dict[str, Any]) -> None:
    wanted(program, **change)
    program.up()
    assert VOLUME in site.config(VM)["scsi1"]
    program.up("--expect-no-changes")


def test_a_disk_grew_and_another_was_added_beside_the_volume(site: Site, program: Program) -> None:
    wanted(program, disk=30, data_disk=10)
    program.up()
    config = site.config(VM)
    assert "size=30G" in config["scsi0"]
    options = set(config["scsi30"].split(",")[1:])
    assert options == {"backup=0", "cache=none", "discard=on", "iothread=1", "replicate=0", "ssd=1", "size=10G"}


def test_a_volume_stays_attached_where_a_release_of_the_plugin_invents_a_change(site: Site, program: Program) -> None:
    def older(vm: dict[str, Any]) -> None:
        # What an older release recorded, which did not know the property.
        for disk in vm["outputs"]["disks"]:
            del disk["aio"]

    edited(program, older)
    wanted(program, disk=30, data_disk=10, cores=4)
    program.up()
    assert VOLUME in site.config(VM)["scsi1"]


def test_a_volume_stays_attached_where_proxmox_and_the_state_disagree_on_a_disk(site: Site, program: Program) -> None:
    drive = site.config(VM)["scsi0"]
    site.api("PUT", f"/nodes/pve1/qemu/{VM}/config", {"scsi0": drive.replace("cache=none", "cache=writeback")})
    wanted(program, disk=30, data_disk=10, cores=3)
    program.up("--refresh")
    assert VOLUME in site.config(VM)["scsi1"]


def test_a_disk_is_not_made_smaller(site: Site, program: Program) -> None:
    wanted(program, disk=25)
    refused = program.up(fails=True)
    assert f"VM {VM} ({NAME}) has disk scsi0 of 30 GiB, and the settings want 25; nothing was changed" in refused
    assert "size=30G" in site.config(VM)["scsi0"]


def test_a_disk_on_another_datastore_comes_with_the_command_that_moves_it(site: Site, program: Program) -> None:
    wanted(program, disk=30, datastore="ceph")
    refused = program.up(fails=True)
    assert f"qm disk move {VM} scsi0 ceph --delete 1 (on pve1)" in refused
    assert VOLUME in site.config(VM)["scsi1"]


def test_a_vm_that_left_its_pool_is_put_back(site: Site, program: Program) -> None:
    wanted(program, disk=30, data_disk=10)
    site.api("PUT", "/pools?poolid=homelab-trial", {"vms": str(VM), "delete": "1"})
    program.up("--refresh")
    assert site.control("GET", "/state")["pools"]["homelab-trial"]["vms"] == [VM]


def test_a_vm_of_an_older_platform_is_put_into_its_pool_and_not_made_anew(site: Site, program: Program) -> None:
    def older(vm: dict[str, Any]) -> None:
        vm["inputs"].pop("poolId")
        vm["outputs"]["poolId"] = ""

    edited(program, older)
    site.api("PUT", "/pools?poolid=homelab-trial", {"vms": str(VM), "delete": "1"})
    life = copy.deepcopy(site.config(VM)["scsi0"])
    program.up()
    assert site.control("GET", "/state")["pools"]["homelab-trial"]["vms"] == [VM]
    assert (site.config(VM)["scsi0"], VOLUME in site.config(VM)["scsi1"]) == (life, True)


def test_another_host_in_the_settings_alone_neither_moves_a_vm_nor_makes_it_anew(site: Site, program: Program) -> None:
    life = disk_of(site)
    wanted(program, disk=30, data_disk=10, host="pve2")
    refused = program.up(fails=True)
    assert f"VM {VM} ({NAME}) is on host pve1, and the settings place it on pve2. It was not touched" in refused
    assert (place(site), disk_of(site)) == ("pve1", life)


def test_a_moved_vm_is_refused_with_both_hosts_and_stays_where_it_is(site: Site, program: Program) -> None:
    site.control("POST", "/moves", {"vmid": VM, "node": "pve2"})
    wanted(program, disk=30, data_disk=10, cores=4)
    refused = program.up(fails=True)
    assert f"VM {VM} ({NAME}) is on host pve2, and the settings place it on pve1. It was not touched" in refused
    assert (place(site), site.config(VM, "pve2")["cores"]) == ("pve2", 2)


def test_a_refresh_does_not_make_a_moved_vm_anew(site: Site, program: Program) -> None:
    life = disk_of(site)
    refused = program.up("--refresh", fails=True)
    assert f"qm migrate {VM} pve1 --online --with-local-disks (on pve2)" in refused
    assert (place(site), disk_of(site)) == ("pve2", life)


def test_the_settings_may_follow_a_vm_that_was_moved(site: Site, program: Program) -> None:
    life = disk_of(site)
    wanted(program, disk=30, data_disk=10, host="pve2")
    program.up("--refresh")
    program.up("--expect-no-changes")
    assert (place(site), disk_of(site)) == ("pve2", life)


def test_a_vm_that_was_moved_is_not_deleted_to_be_made_anew(site: Site, program: Program) -> None:
    site.control("POST", "/moves", {"vmid": VM, "node": "pve1"})
    refused = program.up("--replace", f"**VmLegacy::{NAME}", fails=True)
    assert f"VM {VM} ({NAME}) is on host pve1, and was last seen on pve2; nothing was changed" in refused
    site.control("POST", "/moves", {"vmid": VM, "node": "pve2"})


def test_a_vm_is_not_deleted_to_be_made_anew_from_an_image_that_is_gone(site: Site, program: Program) -> None:
    life = disk_of(site)
    site.control("DELETE", "/volumes", {"storage": "local", "name": "import/talos.qcow2", "node": "pve2"})
    refused = program.up("--replace", f"**VmLegacy::{NAME}", fails=True)
    assert "its image local:import/talos.qcow2 is not on host pve2 any more, and the new VM needs it" in refused
    assert (place(site), disk_of(site)) == ("pve2", life)


def test_a_vm_is_made_anew_on_another_host_on_request(site: Site, program: Program) -> None:
    assert site.download("pve2") == "OK"
    wanted(program, host="pve1")
    program.up("--replace", f"**VmLegacy::{NAME}")
    assert (place(site), "scsi30" in site.config(VM)) == ("pve1", False)
    program.up("--expect-no-changes")


@pytest.mark.parametrize(
    "change",
    [{"host": "pve2"}, {"datastore": "ceph"}, {"network": "127.34.3."}],
    ids=["host", "datastore", "address"],
)
def test_an_up_stops_at_the_vm_that_cannot_be_changed(site: Site, program: Program, change: dict[str, Any]) -> None:
    """What asks for more than an update may not reach the second VM, nor anything else that is changed with it."""
    wanted(program, next=True)
    program.up()
    lives = [vm_of(site, each)["config"] for each in (VM, NEXT)]
    # With another address a VM is made anew, which this forbids.
    site.api("PUT", f"/nodes/pve1/qemu/{VM}/config", {"protection": "1"})
    wanted(program, next=True, memory=3072, **change)
    try:
        refused = program.up(fails=True)
    finally:
        site.api("PUT", f"/nodes/pve1/qemu/{VM}/config", {"protection": "0"})
    assert f"VM {VM} ({NAME})" in refused
    assert f"VM {NEXT}" not in refused
    for life, each in zip(lives, (VM, NEXT), strict=True):
        assert vm_of(site, each)["node"] == "pve1"
        assert vm_of(site, each)["config"] | {"protection": ""} == life | {"protection": ""}


def test_a_moved_vm_is_destroyed_where_it_is(site: Site, program: Program) -> None:
    site.control("POST", "/moves", {"vmid": VM, "node": "pve2"})
    destroyed = program.pulumi("destroy", "--yes", "--skip-preview")
    state = site.control("GET", "/state")
    assert (state["vms"], state["pools"], {volume["name"] for volume in state["volumes"]}) == ([], {}, {VOLUME})
    assert f"VM {VM} ({NAME}) is on host pve2, not on pve1; it is deleted there" in destroyed
