"""The simulated Proxmox VE: roles, users, tokens, and what they may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.proxmox_site import GIB, Refused, Site

CSI = ["Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit", "SDN.Use", "VM.Audit", "VM.Config.Disk"]


def test_a_role_is_kept_and_changed(site: Site) -> None:
    site.api("POST", "/access/roles", {"roleid": "lab-csi", "privs": "VM.Audit,SDN.Use"})
    site.api("PUT", "/access/roles/lab-csi", {"privs": "VM.Audit"})
    assert site.api("GET", "/access/roles/lab-csi") == {"VM.Audit": 1}


def test_a_role_with_an_unknown_privilege_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match=r"invalid privilege 'VM\.Monitor'"):
        site.api("POST", "/access/roles", {"roleid": "lab", "privs": "VM.Monitor"})


def test_a_built_in_role_is_not_deleted(site: Site) -> None:
    with pytest.raises(Refused, match="auto-generated role 'PVEAuditor' cannot be deleted"):
        site.api("DELETE", "/access/roles/PVEAuditor")


def test_a_user_that_exists_is_not_created_again(site: Site) -> None:
    site.api("POST", "/access/users", {"userid": "lab-csi@pve"})
    with pytest.raises(Refused, match="create user failed: user 'lab-csi@pve' already exists"):
        site.api("POST", "/access/users", {"userid": "lab-csi@pve"})


def test_a_deleted_user_takes_tokens_and_rights_along(site: Site) -> None:
    site.restricted(CSI, on_user=True, on_token=True)
    site.api("DELETE", "/access/users/test@pve")
    state = site.control("GET", "/state")
    assert (state["tokens"], state["acls"]) == (["root@pam!lab"], [])


def test_the_state_names_a_token_but_not_its_secret(site: Site) -> None:
    secret = site.restricted(CSI, on_user=True, on_token=True).partition("=")[2]
    assert secret not in str(site.control("GET", "/state"))


def test_a_deleted_token_no_longer_logs_in(site: Site) -> None:
    token = site.restricted(CSI, on_user=True, on_token=True)
    site.api("DELETE", "/access/users/test@pve/token/ci")
    with pytest.raises(Refused, match="401 no such token 'ci' for user 'test@pve'"):
        site.api("GET", "/version", token=token)


def test_a_wrong_token_value_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match="401 invalid token value!"):
        site.api("GET", "/version", token="root@pam!lab=wrong")


def test_a_wrong_password_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match="401 authentication failure"):
        site.login("wrong")


def test_a_session_may_change_things(site: Site) -> None:
    site.api("POST", "/access/roles", {"roleid": "lab"}, None, **site.login())
    assert "lab" in site.control("GET", "/state")["roles"]


def test_a_token_with_rights_of_its_own_and_of_its_user_has_them(site: Site) -> None:
    token = site.restricted(CSI, on_user=True, on_token=True)
    site.control("POST", "/volumes", {"storage": "ceph", "name": "vm-9999-pvc-1", "size": GIB, "vmid": 9999})
    ended = site.task("DELETE", "/nodes/pve1/storage/ceph/content/ceph%3Avm-9999-pvc-1", token=token)
    assert (ended, site.volumes("pve1", "ceph")) == ("OK", [])


@pytest.mark.parametrize(("on_user", "on_token"), [(True, False), (False, True)])
def test_a_token_does_not_have_what_only_one_of_the_two_was_given(site: Site, on_user: bool, on_token: bool) -> None:
    token = site.restricted(["Sys.Audit"], on_user=on_user, on_token=on_token)
    with pytest.raises(Refused, match=r"^403 Permission check failed \(/nodes/pve1, Sys.Audit\)$"):
        site.api("GET", "/nodes/pve1/status", token=token)


def test_a_token_without_privilege_separation_has_its_users_rights(site: Site) -> None:
    site.restricted(["Sys.Audit"], on_user=True, on_token=False)
    made = site.api("POST", "/access/users/test@pve/token/whole", {"privsep": "0"})
    token = f"{made['full-tokenid']}={made['value']}"
    assert site.api("GET", "/nodes/pve1/status", token=token)["cpuinfo"]["cpus"] == 8


def test_a_separated_token_of_root_has_only_what_it_was_given(site: Site) -> None:
    made = site.api("POST", "/access/users/root@pam/token/narrow", {"privsep": "1"})
    with pytest.raises(Refused, match="403 Permission check failed"):
        site.api("GET", "/nodes/pve1/status", token=f"{made['full-tokenid']}={made['value']}")


def test_a_token_sees_no_vm_without_the_right_to(site: Site) -> None:
    token = site.restricted(["Sys.Audit"], on_user=True, on_token=True)
    site.control("POST", "/vms", {"vmid": 120, "node": "pve1", "name": "nas"})
    assert site.api("GET", "/cluster/resources?type=vm", token=token) == []


def test_a_token_without_the_right_to_creates_no_vm(site: Site) -> None:
    token = site.restricted(["VM.Audit"], on_user=True, on_token=True)
    with pytest.raises(Refused, match="403 Permission check failed"):
        site.create(9001, token=token)


def test_a_role_on_a_nearer_path_replaces_the_one_above(site: Site) -> None:
    token = site.restricted(["Sys.Audit"], on_user=True, on_token=True)
    site.api("PUT", "/access/acl", {"path": "/nodes/pve2", "roles": "NoAccess", "users": "test@pve"})
    with pytest.raises(Refused, match=r"403 Permission check failed \(/nodes/pve2, Sys.Audit\)"):
        site.api("GET", "/nodes/pve2/status", token=token)


def test_a_role_that_does_not_propagate_counts_on_its_own_path_only(site: Site) -> None:
    token = site.restricted(["Sys.Audit"], on_user=True, on_token=False)
    site.api("PUT", "/access/acl", {"path": "/", "roles": "Test", "tokens": "test@pve!ci", "propagate": "0"})
    with pytest.raises(Refused, match="403 Permission check failed"):
        site.api("GET", "/nodes/pve1/status", token=token)


def test_the_permissions_of_a_token_are_listed(site: Site) -> None:
    token = site.restricted(["VM.Audit", "VM.Config.Disk"], on_user=True, on_token=True, path="/vms")
    held = site.api("GET", "/access/permissions?path=/vms", token=token)
    assert held == {"/vms": {"VM.Audit": 1, "VM.Config.Disk": 1}}


def test_an_entry_for_a_token_that_does_not_exist_is_refused(site: Site) -> None:
    site.api("POST", "/access/users", {"userid": "test@pve"})
    with pytest.raises(Refused, match="no such token 'ci' for user 'test@pve'"):
        site.api("PUT", "/access/acl", {"path": "/", "roles": "PVEAuditor", "tokens": "test@pve!ci"})


def test_an_entry_for_a_path_that_does_not_exist_is_refused(site: Site) -> None:
    with pytest.raises(Refused, match="invalid ACL path '/machines'"):
        site.api("PUT", "/access/acl", {"path": "/machines", "roles": "PVEAuditor", "users": "root@pam"})


def granted(site: Site, path: str, privileges: str = "VM.Audit") -> str:
    """A token of a user whose role is granted on a path."""
    return site.restricted(privileges.split(), on_user=True, on_token=True, path=path)


def vms_seen(site: Site, token: str) -> list[int]:
    return [entry["vmid"] for entry in site.api("GET", "/cluster/resources?type=vm", token=token)]


def test_what_was_given_on_a_vm_goes_with_it(site: Site) -> None:
    site.create(9001)
    granted(site, "/vms/9001")
    assert site.task("DELETE", "/nodes/pve1/qemu/9001") == "OK"
    assert site.api("GET", "/access/acl") == []


def test_a_vm_made_anew_gets_back_nothing_that_was_given_on_it(site: Site) -> None:
    site.create(9001)
    token = granted(site, "/vms/9001")
    site.task("DELETE", "/nodes/pve1/qemu/9001")
    site.create(9001)
    assert vms_seen(site, token) == []


def test_what_is_given_on_a_pool_counts_for_its_members_and_no_other_vm(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    site.create(9001, pool="homelab")
    site.create(9002)
    assert vms_seen(site, granted(site, "/pool/homelab")) == [9001]


def test_what_is_given_on_a_pool_counts_for_a_vm_that_is_made_anew_in_it(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    site.create(9001, pool="homelab")
    token = granted(site, "/pool/homelab")
    site.task("DELETE", "/nodes/pve1/qemu/9001")
    assert site.control("GET", "/state")["pools"]["homelab"]["vms"] == []
    site.create(9001, pool="homelab")
    assert vms_seen(site, token) == [9001]


def test_what_is_given_on_a_pool_counts_for_its_storages(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    site.api("PUT", "/pools?poolid=homelab", {"storage": "ceph"})
    token = granted(site, "/pool/homelab", "Datastore.Audit")
    assert [entry["storage"] for entry in site.api("GET", "/nodes/pve1/storage", token=token)] == ["ceph"]


def test_no_access_to_a_vm_holds_against_its_pool(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    site.create(9001, pool="homelab")
    token = granted(site, "/pool/homelab")
    site.api("PUT", "/access/acl", {"path": "/vms/9001", "roles": "NoAccess", "users": "test@pve"})
    assert vms_seen(site, token) == []


def test_a_privilege_through_a_pool_does_not_propagate(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    site.create(9001, pool="homelab")
    token = granted(site, "/pool/homelab")
    assert site.api("GET", "/access/permissions?path=/vms/9001", token=token) == {"/vms/9001": {"VM.Audit": 0}}


def test_a_pool_with_a_vm_in_it_is_not_deleted(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    site.create(9001, pool="homelab")
    with pytest.raises(Refused, match=r"pool 'homelab' is not empty \(contains VM 9001\)"):
        site.api("DELETE", "/pools?poolid=homelab")


def test_what_was_given_on_a_pool_goes_with_it(site: Site) -> None:
    site.api("POST", "/pools", {"poolid": "homelab"})
    granted(site, "/pool/homelab")
    site.api("DELETE", "/pools?poolid=homelab")
    assert site.api("GET", "/access/acl") == []


def test_a_sites_own_login_has_the_privileges_that_it_was_given_and_no_more(tmp_path: Path) -> None:
    token = "homelab@pve!api=00000000-0000-4000-8000-000000000002"
    name, _, value = token.partition("=")
    given = Site(tmp_path, user="homelab@pve", privileges=["Datastore.Audit"], tokens={name: value})
    try:
        assert given.api("GET", "/nodes/pve1/storage", token=token)
        with pytest.raises(Refused, match="403 Permission check failed"):
            given.api("POST", "/nodes/pve1/qemu", {"vmid": 100}, token=token)
    finally:
        given.close()
