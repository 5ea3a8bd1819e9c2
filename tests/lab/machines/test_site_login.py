"""A login at Proxmox that is not root's: what docs/operations.md says of its rights, tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.hardware import PRIVILEGES
from tests.lab.live import ROOT, LiveLab

ROLE, USER, TOKEN = "Homelab", "pulumi@pve", "api"


def documented_privileges() -> list[str]:
    """The privileges of the command that the page tells an administrator to type."""
    page = (ROOT / "docs" / "operations.md").read_text()
    found = re.search(rf'pveum role add {ROLE} --privs "([^"]+)"', page)
    assert found, "the page no longer has the command that makes the role"
    return found[1].replace("\\\n", " ").split()


def test_a_rehearsals_login_has_the_documented_privileges() -> None:
    assert sorted(PRIVILEGES) == sorted(documented_privileges())


@contextmanager
def restricted_login(lab: LiveLab) -> Iterator[None]:
    """The stack with a token of a user who has the documented role, made by the documented steps, and no password."""
    api = lab.proxmox_api()
    api.post("/access/roles", {"roleid": ROLE, "privs": ",".join(documented_privileges())})
    api.post("/access/users", {"userid": USER})
    api.put("/access/acl", {"path": "/", "users": USER, "roles": ROLE})
    made = api.post(f"/access/users/{USER}/token/{TOKEN}", {"privsep": 0})

    def without_root(settings: dict[str, Any]) -> None:
        del settings["site"]["username"]

    try:
        with lab.changed(without_root):
            for arguments in (
                ("set", "--secret", "homelab:proxmoxApiToken", f"{made['full-tokenid']}={made['value']}"),
                ("rm", "homelab:proxmoxPassword"),
            ):
                changed = lab.run("pulumi", "config", *arguments)
                assert changed.returncode == 0, changed.stdout
            yield
    finally:
        api.delete(f"/access/users/{USER}")
        api.delete(f"/access/roles/{ROLE}")


@pytest.mark.long
def test_the_documented_privileges_are_enough_for_a_whole_destroy_and_up(lab: LiveLab) -> None:
    with restricted_login(lab):
        gone = lab.destroy()
        assert gone.returncode == 0, gone.stdout
        made = lab.up()
        assert made.returncode == 0, made.stdout
        unchanged = lab.up("--expect-no-changes")
    assert unchanged.returncode == 0, unchanged.stdout
    as_root = lab.up()
    assert as_root.returncode == 0, as_root.stdout
    # The cluster is another one, and so is its kubeconfig.
    assert lab.prepare().returncode == 0
