"""The privileges of the login: which are missed, on which path, and the command that grants each."""

from __future__ import annotations

from typing import Any

import pytest

from components.proxmox.site import rights
from components.proxmox.site.plan import PlannedSite
from tests.unit.proxmox.recorded_site import PLAN, TAG, RecordedApi, planned

POOL = f"/pool/{TAG}"


def lacking(*lacks: tuple[str, str], plan: PlannedSite = PLAN, acl: tuple[dict[str, Any], ...] = ()) -> list[str]:
    api = RecordedApi(lacks=lacks)
    api.answers["/access/acl"] = list(acl)
    return list(rights.findings(plan, api.taken(plan), api.who))


def test_a_login_that_may_do_everything_lacks_nothing() -> None:
    assert lacking() == []


@pytest.mark.parametrize(
    ("path", "privilege"),
    [
        (POOL, "Pool.Allocate"),
        (POOL, "Pool.Audit"),
        (POOL, "Permissions.Modify"),
        ("/vms/2001", "VM.Audit"),
        ("/vms/9999", "VM.Audit"),
        ("/nodes/pve2", "Sys.Audit"),
        ("/storage/local", "Datastore.AllocateTemplate"),
        ("/storage/local-zfs", "Datastore.AllocateSpace"),
        ("/storage/volumes", "Datastore.Allocate"),
        ("/storage/volumes", "Permissions.Modify"),
        ("/sdn/zones/localnetwork/vmbr0", "SDN.Use"),
        ("/access", "Sys.Modify"),
        ("/access/realm/pve", "Realm.AllocateUser"),
        ("/access/groups", "User.Modify"),
    ],
)
def test_each_privilege_that_is_missing_is_named_with_its_path(path: str, privilege: str) -> None:
    [finding] = lacking((path, privilege))
    assert finding.startswith(f"homelab:proxmoxApiToken: pulumi@pve!api lacks {privilege} on {path} (")
    assert f'--privs "{privilege}"' in finding


def test_what_is_missing_on_many_paths_is_one_finding() -> None:
    [finding] = lacking(("/vms/2001", "VM.Audit"), ("/vms/2002", "VM.Audit"), ("/vms/9999", "VM.Audit"))
    assert "lacks VM.Audit on /vms/2001, /vms/2002 and /vms/9999 (to see whether an id is taken)" in finding


def test_all_that_is_missing_for_one_purpose_is_one_finding() -> None:
    vms = [(path, name) for path in ("/vms/2001", "/vms/2002", POOL) for name in ("VM.Allocate", "VM.PowerMgmt")]
    [finding] = lacking(*vms)
    assert "lacks VM.Allocate and VM.PowerMgmt on /vms/2001 and /vms/2002 (for the nodes' VMs)" in finding


def test_all_that_one_command_grants_is_one_finding() -> None:
    [finding] = lacking((POOL, "Pool.Allocate"), ("/access", "Sys.Modify"))
    assert "lacks Pool.Allocate on /pool/homelab-test (for the pool of the VMs); Sys.Modify on /access (" in finding
    assert '--privs "Pool.Allocate Sys.Modify"' in finding


def test_a_role_that_is_there_already_is_not_added_again() -> None:
    api = RecordedApi(lacks=[(POOL, "Pool.Allocate")])
    api.answers["/access/roles"].append({"roleid": "Homelab", "privs": "VM.Audit"})
    [finding] = rights.findings(PLAN, api.taken(), api.who)
    assert 'pveum role modify Homelab --append 1 --privs "Pool.Allocate", then pveum acl modify /' in finding


def test_a_right_on_the_pool_makes_vms_as_one_on_their_ids_does() -> None:
    assert lacking(("/vms/2001", "VM.Allocate"), ("/vms/2002", "VM.Config.Disk")) == []


def test_an_image_is_fetched_with_either_of_two_rights() -> None:
    lacks = [("/", "Sys.Modify")]
    refused = lacking(*lacks)
    assert [finding.split("; ")[0] for finding in refused] == [
        "homelab:proxmoxApiToken: pulumi@pve!api lacks Sys.Modify on / (to fetch the image)"
    ]


def test_a_vlan_is_a_path_of_its_own() -> None:
    [finding] = lacking(("/sdn/zones/localnetwork/vmbr0/30", "SDN.Use"), plan=planned(vlan=30))
    assert "lacks SDN.Use on /sdn/zones/localnetwork/vmbr0/30" in finding


def test_a_driver_without_an_account_needs_no_rights_for_one() -> None:
    plan = planned(account=None)
    assert lacking(("/access", "Sys.Modify"), ("/access/groups", "User.Modify"), plan=plan) == []


def entry(role: str, path: str, ugid: str = "pulumi@pve") -> dict[str, Any]:
    return {"path": path, "roleid": role, "type": "user", "ugid": ugid, "propagate": 1}


def test_the_role_that_counts_on_a_path_gets_what_is_missing() -> None:
    acl = (entry("Everything", "/"), entry("Nodes", "/pool"), entry("Pools", "/pools"), entry("Ann", POOL, "ann@pve"))
    [finding] = lacking((POOL, "Pool.Allocate"), acl=acl)
    assert finding.endswith('grant it: pveum role modify Nodes --append 1 --privs "Pool.Allocate"')


@pytest.mark.parametrize("acl", [(), (entry("Administrator", "/"),), (entry("PVEVMAdmin", "/"),)])
def test_a_login_without_a_role_of_its_own_gets_one_where_its_other_is(acl: tuple[dict[str, Any], ...]) -> None:
    [finding] = lacking((POOL, "Pool.Allocate"), acl=acl)
    assert 'pveum role add Homelab --privs "Pool.Allocate"' in finding
    assert finding.endswith(
        "then pveum acl modify / --users pulumi@pve --roles Homelab (and --tokens 'pulumi@pve!api', if the token's "
        "privileges are separated)"
    )


def test_a_login_by_password_is_named_by_its_setting() -> None:
    api = RecordedApi(lacks=[(POOL, "Pool.Allocate")])
    [finding] = rights.findings(PLAN, api.taken(), "pulumi@pve")
    assert finding.startswith("homelab:proxmoxPassword: pulumi@pve lacks Pool.Allocate")
    assert "--tokens" not in finding
