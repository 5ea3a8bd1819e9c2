"""What must be free at a site, or this stack's own: each finding, from answers as Proxmox gives them."""

from __future__ import annotations

from typing import Any

import pytest

from components.proxmox.site import names
from components.proxmox.site.plan import PlannedSite
from tests.unit.proxmox.recorded_site import ACCOUNT, PLAN, TAG, RecordedApi, guest, planned


def found(api: RecordedApi, plan: PlannedSite = PLAN) -> list[str]:
    return list(names.findings(plan, api.taken(plan)))


def with_guests(*guests: dict[str, Any]) -> RecordedApi:
    api = RecordedApi()
    api.answers["/cluster/resources?type=vm"] = list(guests)
    return api


def test_an_empty_site_has_no_findings() -> None:
    assert found(RecordedApi()) == []


def test_an_id_that_somebody_elses_vm_has_is_named_with_it() -> None:
    assert found(with_guests(guest(2001, "mail", tags="precious"))) == [
        "homelab:nodes.worker-0.vmId: VM 2001 ('mail' on host pve1, running) is not this stack's: it lacks the tag "
        f"{TAG}. It was not touched. Give worker-0 another vmId in homelab:nodes, or remove that one yourself"
    ]


def test_a_container_and_a_template_take_an_id_too() -> None:
    container = guest(2001, "dns", type="lxc")
    template = guest(2002, "debian", template=1, status="stopped")
    told = found(with_guests(container, template))
    assert [finding.split(" is not")[0] for finding in told] == [
        "homelab:nodes.worker-0.vmId: container 2001 ('dns' on host pve1, running)",
        "homelab:nodes.worker-1.vmId: template 2002 ('debian' on host pve1, stopped)",
    ]


def test_a_tag_that_only_begins_like_the_stacks_is_another() -> None:
    [finding] = found(with_guests(guest(2001, "worker-0", tags=f"{TAG}-2")))
    assert f"it lacks the tag {TAG}" in finding


@pytest.mark.parametrize("separator", [";", ",", " "])
def test_what_this_stack_left_is_its_own(separator: str) -> None:
    own = guest(2001, "worker-0", tags=separator.join(["talos", TAG]))
    assert found(with_guests(own)) == []


def test_a_vm_of_the_stack_on_another_host_comes_with_the_ways_out() -> None:
    [finding] = found(with_guests(guest(2001, "worker-0", tags=TAG, node="pve2")))
    assert finding.startswith("homelab:nodes.worker-0.host: VM 2001 (worker-0) is on host pve2")
    assert "qm migrate 2001 pve1 --online --with-local-disks (on pve2)" in finding


def test_a_vm_of_the_stack_is_not_taken_over_by_a_node_of_another_name() -> None:
    [finding] = found(with_guests(guest(2001, "worker-9", tags=TAG)))
    assert "is this stack's, under another name than worker-0" in finding
    assert "give worker-0 a vmId and an address of its own" in finding


def test_a_node_of_another_cluster_with_the_same_name_is_named() -> None:
    assert found(with_guests(guest(3001, "worker-0", tags="homelab-other"))) == [
        "homelab:nodes.worker-0: VM 3001 ('worker-0' on host pve1, running) has that name and is not this stack's: it "
        f"lacks the tag {TAG}; give the node another name, or rename that one: qm set 3001 --name <name>"
    ]


def left(api: RecordedApi, host: str, volume: str, vm_id: int) -> RecordedApi:
    datastore = volume.partition(":")[0]
    entry = {"volid": volume, "vmid": vm_id, "content": "images", "format": "raw", "size": 8589934592}
    api.answers[f"/nodes/{host}/storage/{datastore}/content?content=images"].append(entry)
    return api


def test_disks_of_a_vm_that_is_gone_are_named_as_the_new_one_would_own_them() -> None:
    api = left(left(RecordedApi(), "pve1", "local-zfs:vm-2001-disk-0", 2001), "pve2", "volumes:vm-2001-disk-1", 2001)
    assert found(api) == [
        "homelab:nodes.worker-0.vmId: no guest has the id 2001, but disks of one that had it are left, and would be "
        "deleted with the node's VM: local-zfs:vm-2001-disk-0 (on pve1), volumes:vm-2001-disk-1 (on pve2); give "
        "worker-0 another vmId, or delete each: pvesm free <disk>"
    ]


def test_disks_of_other_ids_and_volumes_are_nobodys_business() -> None:
    api = left(RecordedApi(), "pve1", "local-zfs:vm-300-disk-0", 300)
    assert found(left(api, "pve1", "volumes:vm-9999-pvc-test-0", 9999)) == []


def test_a_stack_that_is_there_is_not_asked_about_disks() -> None:
    api = left(with_guests(guest(2001, "worker-0", tags=TAG)), "pve2", "local-zfs:vm-2002-disk-0", 2002)
    assert found(api) == []
    assert [path for path in api.asked if "/content" in path] == []


def test_a_guest_with_the_storage_drivers_id_is_named_whoever_made_it() -> None:
    assert found(with_guests(guest(9999, "debian", template=1, status="stopped", tags=TAG))) == [
        "homelab:storage: template 9999 ('debian' on host pve1, stopped) has an id that is the storage driver's. "
        "Deleted with its unreferenced disks, it would take every volume along; before there are any, give it another "
        "id: qm clone 9999 <id>, then qm destroy 9999"
    ]


def test_a_container_with_the_storage_drivers_id_comes_with_the_command_for_containers() -> None:
    [finding] = found(with_guests(guest(9999, "dns", type="lxc")))
    assert "pct clone 9999 <id>, then pct destroy 9999" in finding


def pooled(comment: str, *guests: dict[str, Any]) -> list[str]:
    api = with_guests(*guests)
    api.answers["/pools"] = [{"poolid": TAG, "comment": comment}]
    return found(api)


def test_a_pool_of_somebody_else_is_named_with_its_comment() -> None:
    assert pooled("students") == [
        f"pool {TAG}: is in Proxmox already and is not this stack's (its comment: students); take its members out and "
        f"delete it: pvesh delete /pools --poolid {TAG}; or give the stack another name"
    ]


def test_a_pool_that_this_stack_left_is_its_own() -> None:
    assert pooled(PLAN.pool_comment, guest(2001, "worker-0", tags=TAG, pool=TAG)) == []


def test_a_guest_of_somebody_else_in_the_stacks_pool_comes_with_the_command_that_takes_it_out() -> None:
    [finding] = pooled(PLAN.pool_comment, guest(300, "mail", pool=TAG), guest(301, "web", pool="other"))
    assert "VM 300 ('mail' on host pve1, running) is in it" in finding
    assert f"pvesh set /pools --poolid {TAG} --vms 300 --delete 1" in finding


def with_account(*, comment: str | None = None, privileges: str | None = None, holder: str = "") -> RecordedApi:
    api = RecordedApi()
    if comment is not None:
        api.answers["/access/users"].append({"userid": "test-csi@pve", "comment": comment})
    if privileges is not None:
        api.answers["/access/roles"].append({"roleid": "test-csi", "privs": privileges})
    if holder:
        api.answers["/access/acl"].append({"path": "/", "roleid": "test-csi", "ugid": holder})
    return api


def test_the_user_of_another_stack_whose_cluster_has_the_same_name_is_named() -> None:
    assert found(with_account(comment="Proxmox CSI of homelab-other")) == [
        "homelab:cluster.name: user test-csi@pve is in Proxmox already and is not this stack's (its comment: Proxmox "
        "CSI of homelab-other); give the cluster another name, or, if nothing uses the user: pveum user delete "
        "test-csi@pve"
    ]


def test_a_role_with_other_privileges_is_named() -> None:
    [finding] = found(with_account(privileges="VM.Audit,VM.Allocate"))
    assert finding.startswith("homelab:cluster.name: role test-csi with other privileges is in Proxmox already; give")


def test_a_role_that_somebody_else_has_is_named_with_who_has_it() -> None:
    [finding] = found(with_account(privileges="VM.Audit", holder="ann@pve"))
    assert "role test-csi, which ann@pve has, is in Proxmox already" in finding


def test_an_account_that_an_interrupted_up_left_is_its_own() -> None:
    assert found(with_account(comment=ACCOUNT.comment, privileges="VM.Audit", holder="test-csi@pve")) == []


def test_an_account_of_a_stack_that_is_there_is_not_judged_by_what_a_later_release_would_make() -> None:
    api = with_account(comment="of an earlier release", privileges="VM.Allocate")
    api.answers["/cluster/resources?type=vm"] = [guest(2001, "worker-0", tags=TAG)]
    assert found(api) == []


def test_no_account_is_looked_for_where_none_is_made() -> None:
    assert found(with_account(comment="other"), planned(account=None)) == []
