"""The simulated Proxmox VE: roles, users, tokens, and what they may do."""

from __future__ import annotations

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
