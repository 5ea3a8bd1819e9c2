"""The program's own checks in Proxmox (`components/proxmox/hooks.py`), each against the simulated Proxmox VE."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest

from components.proxmox import api as proxmox_api
from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin
from components.proxmox.hooks import ProxmoxChecks
from components.proxmox.site.plan import PlannedSite
from components.proxmox.vm_update import PlannedVm, prepare
from components.talos.api import PORT as TALOS_PORT
from tests.lab.proxmox_site import HOST, PASSWORD, Site

TAG = "homelab-test"
ADDRESS = "127.34.2.1"


def client(site: Site, password: str = PASSWORD) -> ProxmoxApi:
    api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}/", insecure=True)
    api.log_in("root@pam", password)
    return api


def planned(vm_id: int, disk: int = 20) -> PlannedVm:
    return PlannedVm(vm_id, "pve1", ADDRESS, "local-zfs", {"scsi0": disk})


def checks() -> ProxmoxChecks:
    """The checks for one planned VM."""
    login = ProxmoxLogin(endpoint="unused", insecure=True, username=None, password=None, api_token=None)
    return ProxmoxChecks(login=login, site=PlannedSite(tag=TAG, vms={"worker-0": planned(2001)}))


def looked_at(site: Site) -> None:
    """What the hook before a VM's creation does about its id."""
    asked = checks()
    asked._check_vm("worker-0", asked.site.vms["worker-0"], client(site).guests())


def test_a_refused_password_names_the_key_to_set_and_not_the_password(site: Site) -> None:
    with pytest.raises(ProxmoxError, match="refused the password of root@pam") as refused:
        client(site, "planted-wrong")
    assert "pulumi config set --secret homelab:proxmoxPassword" in str(refused.value)
    assert "planted-wrong" not in str(refused.value)


def test_a_refused_token_is_named_without_its_value(site: Site) -> None:
    api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}/", insecure=True)
    with pytest.raises(ProxmoxError, match="refused the API token root@pam!ci") as refused:
        api.use_token("root@pam!ci=planted-value")
    assert "planted-value" not in str(refused.value)


def test_an_endpoint_where_nothing_listens_is_named() -> None:
    with pytest.raises(ProxmoxError, match=r"https://127\.34\.0\.9:1 does not answer .*check homelab:site.endpoint"):
        ProxmoxApi("https://127.34.0.9:1", insecure=True).log_in("root@pam", "x")


def test_a_request_that_proxmox_is_too_slow_for_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxmox_api, "REQUEST_TIMEOUT", 0.2)
    api = client(site)
    site.control("POST", "/faults", {"kind": "slow", "path": "^/nodes$", "seconds": 2})
    with pytest.raises(ProxmoxError, match=r"does not answer GET /nodes \(nothing came within 0.2 s\)"):
        api.get("/nodes")


def test_a_certificate_that_nobody_signed_is_refused_unless_told_otherwise(site: Site) -> None:
    with pytest.raises(ProxmoxError, match="certificate"):
        ProxmoxApi(f"https://{HOST}:{site.server.pve.port}", insecure=False).log_in("root@pam", PASSWORD)


def test_a_vm_without_the_stacks_tag_is_refused(site: Site) -> None:
    site.create(2001, tags="precious")
    with pytest.raises(
        ProxmoxError, match=r"VM 2001 \('vm-2001' on host pve1, stopped\) is not this stack's.*not touched"
    ):
        looked_at(site)


def test_a_vm_whose_tag_only_begins_like_the_stacks_is_refused(site: Site) -> None:
    site.create(2001, tags=f"{TAG}-2")
    with pytest.raises(ProxmoxError, match="is not this stack's"):
        looked_at(site)


def test_an_orphan_of_this_stack_is_taken_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    site.create(2001, tags=f"talos;{TAG}", name="worker-0")
    looked_at(site)
    assert said == [
        "VM 2001 ('worker-0' on host pve1, stopped) is an orphan of an earlier run of this stack; taking it back"
    ]


def test_a_vm_of_the_stack_is_not_taken_over_by_a_node_of_another_name(site: Site) -> None:
    site.create(2001, tags=TAG, name="worker-1")
    with pytest.raises(ProxmoxError, match=r"another name than worker-0.*not touched.*give worker-0 a vmId"):
        looked_at(site)


def test_an_address_where_a_machine_answers_is_not_given_to_a_new_node() -> None:
    async def with_a_machine_there() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.write(b"not even TLS"), ADDRESS, TALOS_PORT)
        async with server:
            await checks()._check_address("worker-0")

    with pytest.raises(ProxmoxError, match=f"worker-0 is to have address {ADDRESS}, where another machine answers"):
        asyncio.run(with_a_machine_there())


def test_an_address_where_nothing_answers_is_given_to_a_new_node() -> None:
    asyncio.run(checks()._check_address("worker-0"))


def test_an_orphan_on_another_host_comes_with_the_command_that_moves_it(site: Site) -> None:
    site.create(2001, "pve2", tags=TAG)
    with pytest.raises(ProxmoxError, match=r"qm migrate 2001 pve1 --online --with-local-disks \(on pve2\).*host: pve2"):
        looked_at(site)


def test_a_pool_that_an_interrupted_up_left_is_made_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    site.api("POST", "/pools", {"poolid": TAG, "comment": checks().site.pool_comment})
    checks()._free_pool(client(site), TAG)
    assert site.api("GET", "/pools") == []
    assert said == [f"pool {TAG} is of an earlier run of this stack, and empty; making it anew"]


def test_a_pool_of_somebody_else_is_refused_and_stays(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": TAG, "comment": "students"})
    with pytest.raises(ProxmoxError, match=rf"pool {TAG} \('students', with no members\) exists.*not touched"):
        checks()._free_pool(client(site), TAG)
    assert [pool["poolid"] for pool in site.api("GET", "/pools")] == [TAG]


def test_a_pool_with_members_is_refused_and_keeps_them(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": TAG, "comment": checks().site.pool_comment})
    site.create(9001, pool=TAG)
    with pytest.raises(ProxmoxError, match=r"with qemu/9001\) exists.*pvesh delete /pools --poolid"):
        checks()._free_pool(client(site), TAG)
    assert [member["vmid"] for member in site.api("GET", f"/pools?poolid={TAG}")[0]["members"]] == [9001]


def test_a_login_that_may_make_no_pool_is_told_what_it_lacks(site: Site) -> None:
    api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}/", insecure=True)
    api.use_token(site.restricted(["VM.Allocate", "Pool.Audit"], on_user=True, on_token=True))
    with pytest.raises(
        ProxmoxError, match=rf"lacks Pool.Allocate on /pool/{TAG}.*--append 1 --privs \"Pool.Allocate\""
    ):
        checks()._free_pool(api, TAG)


def properties(cores: int = 2, memory: int = 2048, pool: str = TAG, node: str = "pve1") -> dict[str, Any]:
    return {
        "vmId": 9001,
        "nodeName": node,
        "poolId": pool,
        "cpu": {"cores": cores},
        "memory": {"dedicated": memory},
        "disks": [{"interface": "scsi0"}],
    }


@pytest.fixture
def vm(site: Site) -> Site:
    """A site with VM 9001 in its pool, with a disk that was not enlarged yet."""
    site.create_node(9001)
    site.api("POST", "/pools", {"poolid": TAG})
    site.api("PUT", f"/pools?poolid={TAG}", {"vms": "9001"})
    return site


def prepared(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    recorded: dict[str, Any] | None = None,
    wanted: dict[str, Any] | None = None,
    disk: int = 20,
) -> list[str]:
    """What the hook before an update says, after it did its work."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)
    old, new = recorded or properties(), wanted or properties()
    args = pulumi.ResourceHookArgs("urn", "9001", "worker-0", "t", new_inputs=new, old_outputs=old)
    prepare(client(site), planned(9001, disk), args)
    return said


def test_cores_that_the_state_claims_and_the_vm_lacks_are_set(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(vm, monkeypatch, properties(cores=4), properties(cores=4))
    assert int(vm.config(9001)["cores"]) == 4


def test_cores_that_this_update_changes_are_left_to_the_provider(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(vm, monkeypatch, properties(cores=2), properties(cores=4))
    assert int(vm.config(9001)["cores"]) == 2


def test_a_disk_smaller_than_the_settings_want_is_resized(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prepared(vm, monkeypatch) == ["VM 9001: disk scsi0 grows to 20 GiB"]
    assert "size=20G" in vm.config(9001)["scsi0"]


def test_a_running_vm_restarts_for_cores_that_were_missing(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    vm.power(9001, "start")
    prepared(vm, monkeypatch, properties(cores=4), properties(cores=4))
    assert int(vm.config(9001, query="?current=1")["cores"]) == 4
    assert vm.api("GET", "/nodes/pve1/qemu/9001/status/current")["status"] == "running"


def test_a_disk_that_the_settings_no_longer_have_stays_and_is_named(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    vm.api("PUT", "/nodes/pve1/qemu/9001/config", {"scsi30": "local-zfs:10"})
    recorded = properties() | {"disks": [{"interface": "scsi0"}, {"interface": "scsi30"}]}
    said = prepared(vm, monkeypatch, recorded)
    assert said[0].endswith("once nothing in the node uses it: qm set 9001 --delete scsi30 (on pve1)")
    assert "scsi30" in vm.config(9001)


def test_a_vm_that_was_moved_is_named_with_both_hosts_and_the_ways_out(
    vm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm.control("POST", "/moves", {"vmid": 9001, "node": "pve2"})
    with pytest.raises(
        ProxmoxError, match=r"is on host pve2, and the settings place it on pve1.*not touched"
    ) as refused:
        prepared(vm, monkeypatch)
    assert "qm migrate 9001 pve1 --online --with-local-disks (on pve2)" in str(refused.value)
    assert "set host: pve2 in homelab:nodes.worker-0, and run `pulumi up --refresh`" in str(refused.value)


def test_a_move_that_the_settings_follow_is_recorded_before_anything_is_changed(
    vm: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProxmoxError, match=r"as the settings say, and recorded on pve2.*`pulumi up --refresh` records"):
        prepared(vm, monkeypatch, properties(node="pve2"))


def test_a_vm_that_is_gone_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProxmoxError, match=r"VM 9001 .worker-0. is recorded, and Proxmox has none of that id"):
        prepared(site, monkeypatch)


def test_a_vm_in_a_pool_of_somebody_else_comes_with_the_command_that_takes_it_out(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create_node(9001)
    site.api("POST", "/pools", {"poolid": "students"})
    site.api("PUT", "/pools?poolid=students", {"vms": "9001"})
    with pytest.raises(ProxmoxError, match="pvesh set /pools --poolid students --vms 9001 --delete 1"):
        prepared(site, monkeypatch, properties(pool=""))


def test_a_vm_that_somebody_put_into_its_pool_is_recorded_first(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProxmoxError, match=rf"is in pool {TAG} already, which is not recorded"):
        prepared(vm, monkeypatch, properties(pool=""))


def test_a_vm_without_a_system_disk_is_not_given_an_empty_one(vm: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    vm.api("PUT", "/nodes/pve1/qemu/9001/config", {"delete": "scsi0"})
    with pytest.raises(ProxmoxError, match="has no system disk scsi0"):
        prepared(vm, monkeypatch)
    assert "scsi0" not in vm.config(9001)
