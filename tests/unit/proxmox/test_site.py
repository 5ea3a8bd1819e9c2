"""What the site layer demands of a Proxmox site."""

from __future__ import annotations

import copy
import re
from typing import Any

from components.proxmox.site import rights
from components.proxmox.site.plan import PlannedSite
from stacks.settings.load import parse
from stacks.site import planned_site, required_datastores
from tests.conftest import ROOT
from tests.unit.settings import fixtures


def required(**sections: Any) -> dict[str, list[str]]:
    raw = copy.deepcopy(fixtures.BASE)
    for section, values in sections.items():
        raw[section] = raw.get(section, {}) | values
    [host] = raw["site"]["hosts"]
    return required_datastores(parse(raw), host)


def test_a_host_needs_the_datastore_of_the_volumes() -> None:
    assert required(storage={"datastore": "volumes"}) == {
        "local": ["import"],
        "local-zfs": ["images"],
        "volumes": ["images"],
    }


def test_a_datastore_for_everything_must_take_everything() -> None:
    hosts = copy.deepcopy(fixtures.BASE["site"]["hosts"])
    for host in hosts.values():
        host |= {"imageDatastore": "tank", "diskDatastore": "tank"}
    assert required(site={"hosts": hosts}, storage={"datastore": "tank"}) == {"tank": ["import", "images"]}


TAG = "homelab-prod"


def plan(**sections: Any) -> PlannedSite:
    raw = copy.deepcopy(fixtures.BASE)
    for section, values in sections.items():
        raw[section] = raw.get(section, {}) | values
    return planned_site(parse(raw), TAG)


def test_every_address_of_the_platform_is_to_be_free_on_the_ports_that_it_uses_there() -> None:
    vms = {name: vm.address for name, vm in plan().vms.items()}
    asked = {each.key: (str(each.first), str(each.last), {*each.ports}) for each in plan().addresses}
    assert vms == {name: node["address"] for name, node in fixtures.BASE["nodes"].items()}
    assert asked == {
        "homelab:network.apiVip": ("10.0.3.1", "10.0.3.1", {50000, 6443}),
        "homelab:network.pools.ingress": ("10.0.3.2", "10.0.3.2", {80, 443}),
        "homelab:network.pools.dns": ("10.0.3.3", "10.0.3.3", {53}),
        "homelab:network.pools.services": ("10.0.3.4", "10.0.3.20", {80, 443}),
    }


def test_the_id_of_the_volumes_is_reserved() -> None:
    assert [*plan().reserved] == [9999]


def test_a_host_must_have_what_the_settings_say_that_it_has() -> None:
    [host] = plan().hosts.values()
    assert (host.cores, host.memory) == (32, 122880)


def test_the_bridge_and_the_vlan_are_those_of_the_nodes() -> None:
    named = plan(site={"bridge": "vmbr1", "vlan": 30})
    assert (named.bridge, named.vlan) == ("vmbr1", 30)


def test_the_comment_of_the_account_tells_two_stacks_with_one_cluster_name_apart() -> None:
    account = plan().account
    assert account is not None
    assert (account.name, account.paths) == ("atlas-csi", ["/storage/local-zfs", "/pool/homelab-prod"])
    assert TAG in account.comment


def test_a_driver_with_roots_password_has_no_account() -> None:
    snapshots = {"storage": {"snapshots": True}, "site": {"username": "root@pam"}}
    assert plan(**snapshots).account is None


def test_the_rights_that_are_asked_for_are_in_the_documented_role() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    role = re.search(r'pveum role add Homelab --privs "([^"]+)"', page)
    assert role
    documented = {*role[1].replace("\\\n", " ").split()}
    asked = {name for need in rights.needs(plan()) for _, names in need.grants[:1] for name in names}
    assert asked == documented
