"""An account in Proxmox VE whose creation was cut off: the real engine, the upstream provider, a simulated site.

The site carries a creation out and cuts the connection instead of answering: as after a kill, what was made is there
and the state does not know of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from components.proxmox.account import TOKEN_NAME
from tests.lab import pulumi_program
from tests.lab.proxmox_site import HOST, ROOT_TOKEN, Site
from tests.lab.pulumi_program import Program

PROGRAM = """
import sys

sys.path.insert(0, {root!r})

import pulumi
import pulumi_proxmoxve as proxmox

from components.proxmox.account import ProxmoxAccount, ProxmoxAccountArgs
from components.proxmox.account_leftovers import AccountLeftovers
from components.proxmox.api import ProxmoxLogin

token = pulumi.Config().require_secret("proxmoxToken")
provider = proxmox.Provider("proxmox", endpoint={endpoint!r}, insecure=True, api_token=token)
login = ProxmoxLogin(endpoint={endpoint!r}, insecure=True, username=None, password=None, api_token=token)
account = ProxmoxAccount(
    "csi",
    ProxmoxAccountArgs(
        account="lab-csi",
        comment="of cluster lab",
        privileges=["VM.Audit", "Datastore.Audit"],
        paths=["/storage/local-zfs"],
        hooks=pulumi.ResourceHookBinding(before_create=[AccountLeftovers(login).before_create()]),
    ),
    pulumi.ResourceOptions(providers=[provider]),
)
pulumi.export("token", account.token_id)
"""

USER, ROLE = "lab-csi@pve", "lab-csi"
CREATIONS = {
    "role": ("POST", "/access/roles$"),
    "user": ("POST", "/access/users$"),
    "token": ("POST", f"/token/{TOKEN_NAME}$"),
    "entry": ("PUT", "/access/acl$"),
}


@dataclass
class Life:
    site: Site
    program: Program

    def users(self) -> list[str]:
        return [user["userid"] for user in self.site.api("GET", "/access/users")]

    def entries(self) -> list[str]:
        return [entry["ugid"] for entry in self.site.api("GET", "/access/acl")]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    here = tmp_path_factory.mktemp("account")
    site = Site(here)
    text = PROGRAM.format(root=os.getcwd(), endpoint=f"https://{HOST}:{site.server.pve.port}/")
    secrets = {"proxmoxToken": ROOT_TOKEN}
    with pulumi_program.program(here, text, providers=("proxmoxve",), secrets=secrets) as program:
        yield Life(site, program)
    site.close()


@pytest.fixture
def empty(life: Life) -> Life:
    """The site without the account."""
    life.program.pulumi("destroy", "--yes", "--skip-preview")
    assert USER not in life.users()
    return life


@pytest.mark.parametrize("what", CREATIONS)
def test_an_account_whose_creation_was_cut_off_is_made_by_the_next_up(empty: Life, what: str) -> None:
    method, path = CREATIONS[what]
    empty.site.control("POST", "/faults", {"kind": "drop", "method": method, "path": path})
    try:
        empty.program.up(fails=True)
    finally:
        empty.site.control("DELETE", "/faults")
    empty.program.up()
    empty.program.up("--expect-no-changes")
    assert (USER in empty.users(), empty.entries()) == (True, [USER])


@pytest.mark.parametrize(
    ("path", "values", "refusal"),
    [
        (
            "/access/users",
            {"userid": USER, "comment": "by hand"},
            f"user {USER} is in Proxmox already, and is not this",
        ),
        ("/access/roles", {"roleid": ROLE, "privs": "VM.Allocate"}, f"role {ROLE} with other privileges is in Proxmox"),
    ],
    ids=["user", "role"],
)
def test_what_is_somebody_elses_is_refused_by_name(
    empty: Life, path: str, values: dict[str, str], refusal: str
) -> None:
    empty.site.api("POST", path, values)
    try:
        assert refusal in empty.program.up(fails=True)
        there = empty.site.api("GET", path)
    finally:
        empty.site.api("DELETE", f"{path}/{next(iter(values.values()))}")
    assert [one for one in there if next(iter(values.values())) in one.values()]


def test_a_role_that_somebody_else_has_is_refused_by_name(empty: Life) -> None:
    empty.site.api("POST", "/access/roles", {"roleid": ROLE, "privs": "VM.Audit,Datastore.Audit"})
    empty.site.api("POST", "/access/users", {"userid": "ann@pve"})
    empty.site.api("PUT", "/access/acl", {"path": "/", "roles": ROLE, "users": "ann@pve"})
    try:
        assert f"role {ROLE}, which ann@pve has, is in Proxmox already" in empty.program.up(fails=True)
    finally:
        empty.site.api("DELETE", "/access/users/ann@pve")
        empty.site.api("DELETE", f"/access/roles/{ROLE}")
