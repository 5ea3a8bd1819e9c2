"""What an interrupted `up` left of an account is removed, and what is somebody else's is not.

A test in the lab does the same with the provider and a simulated site; these are the cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from components.proxmox.account_leftovers import _REMOVALS
from components.proxmox.api import ProxmoxApi, ProxmoxError

ROLE, USER, TOKEN = (
    "proxmoxve:index/roleLegacy:RoleLegacy",
    "proxmoxve:index/userLegacy:UserLegacy",
    "proxmoxve:user/token:Token",
)
WANTED: dict[str, dict[str, Any]] = {
    ROLE: {"roleId": "lab-csi", "privileges": ["VM.Audit", "Datastore.Audit"]},
    USER: {"userId": "lab-csi@pve", "comment": "of stack lab"},
    TOKEN: {"userId": "lab-csi@pve", "tokenName": "csi", "comment": "of stack lab"},
}


class Site:
    """The answers of a site, and what it was told to delete."""

    def __init__(self, **answers: list[Mapping[str, Any]]) -> None:
        token = {"tokenid": "csi", "comment": "of stack lab"}
        self.answers: dict[str, list[Mapping[str, Any]]] = {
            "/access/roles": [{"roleid": "lab-csi", "privs": "Datastore.Audit,VM.Audit"}],
            "/access/acl": [{"roleid": "lab-csi", "ugid": "lab-csi@pve"}],
            "/access/users": [{"userid": "lab-csi@pve", "comment": "of stack lab"}],
            "/access/users/lab-csi%40pve/token": [token],
        }
        self.answers |= {f"/access/{part}": answer for part, answer in answers.items()}
        self.deleted: list[str] = []

    def get(self, path: str) -> list[Mapping[str, Any]]:
        return self.answers[path]

    def delete(self, path: str) -> None:
        self.deleted.append(path)


def remove(kind: str, site: Site) -> list[str]:
    _REMOVALS[kind](cast(ProxmoxApi, site), WANTED[kind])
    return site.deleted


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (ROLE, "/access/roles/lab-csi"),
        (USER, "/access/users/lab-csi%40pve"),
        (TOKEN, "/access/users/lab-csi%40pve/token/csi"),
    ],
)
def test_what_this_cluster_left_is_removed(kind: str, path: str) -> None:
    assert remove(kind, Site()) == [path]


@pytest.mark.parametrize("kind", [ROLE, USER])
def test_nothing_is_removed_where_nothing_was_left(kind: str) -> None:
    assert remove(kind, Site(roles=[], users=[])) == []


@pytest.mark.parametrize(
    ("kind", "answers", "said"),
    [
        (ROLE, {"acl": [{"roleid": "lab-csi", "ugid": "backup@pve"}]}, "which backup@pve has"),
        (ROLE, {"roles": [{"roleid": "lab-csi", "privs": "VM.Audit"}]}, "with other privileges"),
        (USER, {"users": [{"userid": "lab-csi@pve", "comment": "of stack other"}]}, "its comment: of stack other"),
        (TOKEN, {"users/lab-csi%40pve/token": [{"tokenid": "csi"}]}, "its comment: none"),
    ],
)
def test_what_is_somebody_elses_stays_and_is_named(kind: str, answers: dict[str, Any], said: str) -> None:
    site = Site(**answers)
    with pytest.raises(ProxmoxError, match=said):
        remove(kind, site)
    assert site.deleted == []
