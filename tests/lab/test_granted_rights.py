"""The commands that a report has for missing privileges, carried out at a simulated site: nothing is missing then."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from components.proxmox.api import ProxmoxApi
from components.proxmox.site import rights, survey
from stacks.settings.load import parse
from stacks.site import planned_site
from tests.lab.proxmox_site import HOST, Refused, Site
from tests.unit.settings.fixtures import BASE

PLAN = planned_site(parse(BASE | {"site": BASE["site"] | {"vlan": 30}}), "homelab-trial")
USER, SOME = "pulumi@pve", "VM.Audit,Sys.Audit,Datastore.Audit"


def login(site: Site, *granted: tuple[str, str], separated: bool = False) -> ProxmoxApi:
    """A token of a user with these roles, each with the path on which it is granted."""
    site.api("POST", "/access/users", {"userid": USER})
    made = site.api("POST", f"/access/users/{USER}/token/api", {"privsep": int(separated)})
    for role, path in granted:
        if role == "Own":
            site.api("POST", "/access/roles", {"roleid": role, "privs": SOME})
        site.api("PUT", "/access/acl", {"path": path, "roles": role, "users": USER})
    api = ProxmoxApi(f"https://{HOST}:{site.server.pve.port}", insecure=True)
    api.use_token(f"{made['full-tokenid']}={made['value']}")
    return api


def missing(api: ProxmoxApi) -> list[str]:
    return list(rights.findings(PLAN, asyncio.run(survey.take(api, PLAN)), api.who))


def obeyed(site: Site, finding: str) -> None:
    """What an administrator types who does as the finding says."""
    changed = re.search(r'pveum role (add|modify) (\S+)( --append 1)? --privs "([^"]+)"', finding)
    assert changed, finding
    verb, role, append, privileges = changed.groups()
    values: dict[str, Any] = {"privs": privileges.replace(" ", ",")}
    if verb == "add":
        site.api("POST", "/access/roles", values | {"roleid": role})
    else:
        site.api("PUT", f"/access/roles/{role}", values | ({"append": 1} if append else {}))
    if entry := re.search(r"pveum acl modify (\S+) --users (\S+) --roles (\S+)", finding):
        path, user, role = entry.groups()
        site.api("PUT", "/access/acl", {"path": path, "users": user, "roles": role})
    if token := re.search(r"--tokens '(\S+)', if the token's privileges are separated", finding):
        assert entry, finding
        site.api("PUT", "/access/acl", {"path": entry[1], "tokens": token[1], "roles": entry[3]})


@pytest.mark.parametrize(
    "granted",
    [(), (("Own", "/"),), (("Own", "/vms"),), (("Administrator", "/nodes"),)],
    ids=["nothing", "a role", "a role on a part", "a role of Proxmox's own"],
)
def test_a_login_that_gets_what_the_report_says_lacks_nothing(site: Site, granted: tuple[tuple[str, str], ...]) -> None:
    api = login(site, *granted)
    first = missing(api)
    assert first
    for finding in first:
        obeyed(site, finding)
    assert missing(api) == []


def test_a_separated_token_gets_its_rights_beside_its_user(site: Site) -> None:
    api = login(site, separated=True)
    for finding in missing(api):
        obeyed(site, finding)
    assert missing(api) == []


def test_what_the_report_says_is_all_that_is_needed_to_see_the_site(site: Site) -> None:
    api = login(site)
    with pytest.raises(Refused, match="403"):
        site.api("GET", "/nodes/pve1/time", token=api._headers["Authorization"].removeprefix("PVEAPIToken="))
    for finding in missing(api):
        obeyed(site, finding)
    assert [*asyncio.run(survey.take(api, PLAN)).failed] == []
