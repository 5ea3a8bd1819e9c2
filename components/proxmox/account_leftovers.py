"""What an `up` that was killed left behind of an account in Proxmox VE, removed before the account is made anew.

Owns one hook, which runs in `up` and not in a preview; no resource. Must exist before: the login.

An account's role, user and token have fixed names, and Proxmox refuses to make one that is there. After an `up` that
was killed between the creation and its record, no later one would get past that. Such a leftover grants nothing to
anybody: the token's value was shown once, to the `up` that was killed. An ACL entry may be set twice.

A user or token is a leftover if it has the comment that it is about to get. A role has no comment: it is one if it has
exactly the privileges that it is about to get, and no other account has it. Anything else is somebody else's.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.proxmox.api import ProxmoxApi, ProxmoxError, ProxmoxLogin


@dataclass(frozen=True)
class AccountLeftovers:
    """The hook, for one site."""

    login: ProxmoxLogin

    def before_create(self) -> pulumi.ResourceHook:
        """For each resource of a `ProxmoxAccount`."""

        async def leftovers_are_gone(args: pulumi.ResourceHookArgs) -> None:
            remove = _REMOVALS.get(args.type)
            if remove is not None:
                api = await self.login.connect()
                await asyncio.to_thread(remove, api, args.new_inputs or {})

        return pulumi.ResourceHook("account-leftovers-are-gone", leftovers_are_gone)


def _remove_user(api: ProxmoxApi, wanted: Mapping[str, Any]) -> None:
    """Raises ProxmoxError if the user that is there is another."""
    name = str(wanted["userId"])
    there = {user["userid"]: user for user in api.get("/access/users")}
    if name not in there:
        return
    _require_comment(f"user {name}", there[name], wanted)
    api.delete(f"/access/users/{_quoted(name)}")


def _remove_token(api: ProxmoxApi, wanted: Mapping[str, Any]) -> None:
    """Raises ProxmoxError if the token that is there is another."""
    user, name = str(wanted["userId"]), str(wanted["tokenName"])
    tokens = f"/access/users/{_quoted(user)}/token"
    there = {token["tokenid"]: token for token in api.get(tokens)}
    if name not in there:
        return
    _require_comment(f"token {user}!{name}", there[name], wanted)
    api.delete(f"{tokens}/{_quoted(name)}")


def _remove_role(api: ProxmoxApi, wanted: Mapping[str, Any]) -> None:
    """Raises ProxmoxError if the role that is there is another, or somebody has it."""
    name = str(wanted["roleId"])
    there = {role["roleid"]: {*str(role.get("privs") or "").split(",")} - {""} for role in api.get("/access/roles")}
    if name not in there:
        return
    holders = sorted({acl["ugid"] for acl in api.get("/access/acl") if acl["roleid"] == name} - {f"{name}@pve"})
    if there[name] != {*wanted["privileges"]} or holders:
        of = f", which {', '.join(holders)} has," if holders else " with other privileges"
        raise ProxmoxError(
            f"role {name}{of} is in Proxmox already; remove it (`pveum role delete {name}`), or give the cluster "
            "another name (homelab:cluster.name)"
        )
    api.delete(f"/access/roles/{_quoted(name)}")


_REMOVALS: Mapping[str, Callable[[ProxmoxApi, Mapping[str, Any]], None]] = {
    "proxmoxve:index/roleLegacy:RoleLegacy": _remove_role,
    "proxmoxve:index/userLegacy:UserLegacy": _remove_user,
    "proxmoxve:user/token:Token": _remove_token,
}


def _require_comment(what: str, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    comment = str(there.get("comment") or "")
    if comment != wanted.get("comment"):
        raise ProxmoxError(
            f"{what} is in Proxmox already, and is not this cluster's (its comment: {comment or 'none'}); remove it, "
            "or give the cluster another name (homelab:cluster.name)"
        )


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
