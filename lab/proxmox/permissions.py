# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""Who is asking, and what they may do.

Permissions are evaluated as in PVE::AccessControl: the entry nearest to the path replaces those above it, a role that
does not propagate counts only on its own path, a member of a pool has what is given on the pool, and a
privilege-separated token has what both it and its user have. What is given on an object goes with it.
"""

from __future__ import annotations

import re
import time
from typing import Any

from aiohttp import web
from fakepve import FakePve
from fakepve.model import PveError
from fakepve.routing import die
from fakepve.shapes import PRIVILEGES, ROLES

_TOP_PATHS = ("/", "/access", "/access/groups", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms")

LOGIN_ROLE = "Homelab"
"""The role in docs/operations.md."""


class Permissions(FakePve):  # type: ignore[misc]
    """Mixin: authentication and the permission check, enforced for everyone but root@pam."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # fakepve enforces permissions only if it has a table; the entries themselves are in `acls`.
        self.acl: dict[str, Any] = {}
        self.roles: dict[str, set[str]] = {}
        self.accounts: dict[str, dict[str, Any]] = {self.user: {"enable": 1, "expire": 0}}
        self.account_tokens: dict[str, dict[str, Any]] = {}
        self.acls: list[dict[str, Any]] = []

    def set_up_login(self, privileges: tuple[str, ...]) -> None:
        """Give the site's user a role with these privileges on `/`, as an administrator does by hand."""
        self.roles[LOGIN_ROLE] = set(privileges)
        self.acls.append({"path": "/", "type": "user", "ugid": self.user, "roleid": LOGIN_ROLE, "propagate": 1})

    def add_token(self, tokenid: str, value: str) -> None:
        """A token `user@realm!name` with all of its user's rights.

        Raises:
            ValueError: if its user does not exist.
        """
        if tokenid.split("!")[0] not in self.accounts or "!" not in tokenid:
            raise ValueError(f"token {tokenid!r}: expected user@realm!name of a user that exists")
        self.account_tokens[tokenid] = {"privsep": 0, "expire": 0}
        self.apitokens[tokenid] = value

    def _authenticate(self, request: web.Request) -> str | None:
        given = request.headers.get("Authorization", "")
        if given.startswith("PVEAPIToken="):
            tokenid, _, value = given.removeprefix("PVEAPIToken=").partition("=")
            userid, _, name = tokenid.partition("!")
            account = self.accounts.get(userid)
            if account is None:
                raise PveError(401, f"no such user ('{userid}')")
            if not account.get("enable", 1):
                raise PveError(401, f"user '{userid}' is disabled")
            if tokenid not in self.account_tokens:
                raise PveError(401, f"no such token '{name}' for user '{userid}'")
            expire = int(self.account_tokens[tokenid].get("expire") or 0)
            if expire and expire < time.time():
                raise PveError(401, "token expired")
            if self.apitokens.get(tokenid) != value:
                raise PveError(401, "invalid token value!")
            return tokenid
        user: str | None = super()._authenticate(request)
        return user

    def check_password(self, user: str, password: str) -> bool:
        return bool(self.accounts.get(user, {}).get("enable")) and bool(super().check_password(user, password))

    def privileges(self, who: str, path: str) -> dict[str, int]:
        """The privileges of a user or token on a path; the value tells whether they propagate."""
        userid = who.split("!")[0]
        if "!" in who:
            info = self.account_tokens.get(who)
            if info is None:
                return {}
            user = self.privileges(userid, path)
            if not info.get("privsep", 1):
                return user
            return {name: flag for name, flag in self._granted(who, path).items() if name in user}
        return dict.fromkeys(PRIVILEGES, 1) if userid == "root@pam" else self._granted(who, path)

    def _granted(self, who: str, path: str) -> dict[str, int]:
        """What the entries for `who` give on a path: a member of a pool has the pool's roles too.

        These do not propagate, an entry on the path itself wins, and NoAccess on either wins over all
        (PVE::RPCEnvironment, compile_acl_path).
        """
        roles = self._roles_on(who, path)
        through_pools: set[str] = set()
        for pool in self._pools_with(path):
            through_pools |= self._roles_on(who, f"/pool/{pool}").keys()
        if "NoAccess" in {*roles, *through_pools}:
            return {}
        held: dict[str, int] = {}
        for role, flag in {**dict.fromkeys(through_pools, 0), **roles}.items():
            for name in self._role(role):
                held[name] = held.get(name) or flag
        return held

    def _pools_with(self, path: str) -> list[str]:
        """The pools that what a path names is a member of; nothing below that path is."""
        if machine := re.fullmatch(r"/vms/(\d+)", path):
            return [pool for pool, members in self.pools.items() if int(machine[1]) in members]
        if storage := re.fullmatch(r"/storage/([^/]+)", path):
            return [pool for pool, about in self.pool_info.items() if storage[1] in about["storage"]]
        return []

    def _roles_on(self, who: str, path: str) -> dict[str, int]:
        steps = ["/"]
        for part in [part for part in path.split("/") if part]:
            steps.append(f"{steps[-1].rstrip('/')}/{part}")
        roles: dict[str, int] = {}
        for step in steps:
            entries = [acl for acl in self.acls if acl["ugid"] == who and acl["path"] == step]
            here = {acl["roleid"]: acl["propagate"] for acl in entries if acl["propagate"] or step == steps[-1]}
            roles = here or roles
        return roles

    def remove_access(self, path: str) -> None:
        """Remove the entries on a path and below it, as the object that it names is gone.

        PVE::AccessControl's remove_vm_access and delete_pool_acl:
        https://github.com/proxmox/pve-access-control/blob/master/src/PVE/AccessControl.pm
        """
        self.acls = [acl for acl in self.acls if acl["path"] != path and not acl["path"].startswith(f"{path}/")]

    def allowed(self, user: str | None, path: str, priv: str) -> bool:
        """Whether a user or token holds a privilege on a path."""
        return user is not None and priv in self.privileges(user, path)

    def check_permissions(self, user: str | None, perms: Any, values: Any, declared: Any = None) -> None:
        """The schema's rule for a method. A token of root@pam is checked like any other; only root itself is not."""
        if user == "root@pam":
            return
        if perms is None:
            why: str | None = "user != root@pam"
        elif "check" in perms:
            fits, reason = self._check(user, perms["check"], values, declared)
            why = None if fits else str(reason)
        else:
            free = perms.get("user") == "world" or (perms.get("user") == "all" and user is not None)
            why = None if free else "user != root@pam"
        if why is not None:
            raise PveError(403, f"Permission check failed ({why})" if why else "Permission check failed")

    async def _permissions(self, v: dict[str, Any], user: str) -> dict[str, dict[str, int]]:
        who = v.get("userid") or user
        if who != user and who.split("!")[0] != user:
            self.require(user, "/access", "Sys.Audit")
        paths = [v["path"]] if v.get("path") else sorted({*_TOP_PATHS, *(acl["path"] for acl in self.acls)})
        found = {path: dict(sorted(self.privileges(who, path).items())) for path in paths}
        return {path: held for path, held in found.items() if held}

    def _role(self, roleid: str) -> set[str]:
        if roleid not in self.roles and roleid not in ROLES:
            raise die(f"role '{roleid}' does not exist")
        return self.roles.get(roleid) or set(ROLES.get(roleid, ()))
