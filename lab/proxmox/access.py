# SPDX-License-Identifier: AGPL-3.0-or-later
# This file extends classes of fakepve, which is under that licence.
"""The API of roles, users, API tokens and access control lists.

What the entries mean is in permissions.py. Of groups and realms, only the names are simulated.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from fakepve.routing import die, param_error, split_list
from fakepve.shapes import PRIVILEGES, ROLES

from lab.proxmox.permissions import Permissions

_ACL_PATH = re.compile(r"^/(?:$|(?:access|mapping|nodes|pool|sdn|storage|vms)(?:/[^/\s]+)*$)")

Handler = tuple[str, str, Any]


class Access(Permissions):
    """Mixin: stored roles, users, tokens and access control."""

    def _routes_lab_access(self) -> list[Handler]:
        role, user = "/access/roles/{roleid}", "/access/users/{userid}"
        token = user + "/token/{tokenid}"
        return [
            ("GET", "/access/roles", self._role_list),
            ("POST", "/access/roles", self._role_create),
            ("GET", role, self._role_get),
            ("PUT", role, self._role_put),
            ("DELETE", role, self._role_delete),
            ("GET", "/access/users", self._user_list),
            ("POST", "/access/users", self._user_create),
            ("GET", user, self._user_get),
            ("PUT", user, self._user_put),
            ("DELETE", user, self._user_delete),
            ("GET", user + "/token", self._token_list),
            ("POST", token, self._token_create),
            ("GET", token, self._token_get),
            ("PUT", token, self._token_put),
            ("DELETE", token, self._token_delete),
            ("GET", "/access/acl", self._acl_list),
            ("PUT", "/access/acl", self._acl_put),
        ]

    def _own_role(self, roleid: str, verb: str) -> set[str]:
        if roleid in ROLES:
            raise die(f"auto-generated role '{roleid}' cannot be {verb}")
        return self._role(roleid)

    @staticmethod
    def _privs(text: Any, failed: str) -> set[str]:
        privs = set(split_list(text))
        for name in sorted(privs - set(PRIVILEGES)):
            raise die(f"{failed} failed: invalid privilege '{name}'")
        return privs

    async def _role_list(self, _v: dict[str, Any], _user: str) -> list[dict[str, Any]]:
        names = sorted({*ROLES, *self.roles})
        return [
            {"roleid": name, "privs": ",".join(sorted(self._role(name))), "special": int(name in ROLES)}
            for name in names
        ]

    async def _role_create(self, v: dict[str, Any], _user: str) -> None:
        if v["roleid"] in self.roles or v["roleid"] in ROLES:
            raise die(f"create role failed: role '{v['roleid']}' already exists")
        self.roles[v["roleid"]] = self._privs(v.get("privs"), "create role")

    async def _role_get(self, v: dict[str, Any], _user: str) -> dict[str, int]:
        return dict.fromkeys(sorted(self._role(v["roleid"])), 1)

    async def _role_put(self, v: dict[str, Any], _user: str) -> None:
        before = self._own_role(v["roleid"], "modified")
        privs = self._privs(v.get("privs"), "update role")
        self.roles[v["roleid"]] = before | privs if v.get("append") else privs

    async def _role_delete(self, v: dict[str, Any], _user: str) -> None:
        self._own_role(v["roleid"], "deleted")
        del self.roles[v["roleid"]]
        self.acls = [acl for acl in self.acls if acl["roleid"] != v["roleid"]]

    def _account(self, userid: str) -> dict[str, Any]:
        if userid not in self.accounts:
            raise die(f"no such user ('{userid}')")
        return self.accounts[userid]

    async def _user_list(self, _v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        everyone = self.allowed(user, "/access/groups", "Sys.Audit") or self.allowed(
            user, "/access/groups", "User.Modify"
        )
        own = user.split("!")[0]
        return [
            {**account, "userid": name} for name, account in sorted(self.accounts.items()) if everyone or name == own
        ]

    async def _user_create(self, v: dict[str, Any], _user: str) -> None:
        userid = v["userid"]
        if userid in self.accounts:
            raise die(f"create user failed: user '{userid}' already exists")
        shown = {key: value for key, value in v.items() if key not in ("userid", "password")}
        self.accounts[userid] = {"enable": 1, "expire": 0, **shown}
        if v.get("password"):
            self.users[userid] = v["password"]

    async def _user_get(self, v: dict[str, Any], _user: str) -> dict[str, Any]:
        account = self._account(v["userid"])
        return {**account, "groups": split_list(account.get("groups")), "tokens": self._tokens_of(v["userid"])}

    async def _user_put(self, v: dict[str, Any], _user: str) -> None:
        changed = {key: value for key, value in v.items() if key not in ("userid", "append")}
        self._account(v["userid"]).update(changed)

    async def _user_delete(self, v: dict[str, Any], _user: str) -> None:
        userid = v["userid"]
        self._account(userid)
        if userid == self.user:
            raise die(f"delete user failed: user '{userid}' is the one that runs this site")
        del self.accounts[userid]
        self.users.pop(userid, None)
        for name in self._tokens_of(userid):
            self._forget_token(f"{userid}!{name}")
        self.acls = [acl for acl in self.acls if acl["ugid"] != userid]

    def _tokens_of(self, userid: str) -> dict[str, dict[str, Any]]:
        split = {tokenid: tokenid.partition("!") for tokenid in self.account_tokens}
        return {name: self.account_tokens[full] for full, (owner, _, name) in sorted(split.items()) if owner == userid}

    def _token(self, v: dict[str, Any]) -> str:
        tokenid = f"{v['userid']}!{v['tokenid']}"
        self._account(v["userid"])
        if tokenid not in self.account_tokens:
            raise die(f"no such token '{v['tokenid']}' for user '{v['userid']}'")
        return tokenid

    def _forget_token(self, tokenid: str) -> None:
        del self.account_tokens[tokenid]
        self.apitokens.pop(tokenid, None)
        self.acls = [acl for acl in self.acls if acl["ugid"] != tokenid]

    async def _token_list(self, v: dict[str, Any], _user: str) -> list[dict[str, Any]]:
        self._account(v["userid"])
        return [{**info, "tokenid": name} for name, info in self._tokens_of(v["userid"]).items()]

    async def _token_create(self, v: dict[str, Any], _user: str) -> dict[str, Any]:
        self._account(v["userid"])
        tokenid = f"{v['userid']}!{v['tokenid']}"
        if tokenid in self.account_tokens:
            raise param_error(tokenid="Token already exists.")
        info = {"privsep": int(v.get("privsep", 1)), "expire": int(v.get("expire", 0))}
        if v.get("comment"):
            info["comment"] = v["comment"]
        value = str(uuid.uuid4())
        self.account_tokens[tokenid] = info
        self.apitokens[tokenid] = value
        return {"full-tokenid": tokenid, "info": info, "value": value}

    async def _token_get(self, v: dict[str, Any], _user: str) -> dict[str, Any]:
        return self.account_tokens[self._token(v)]

    async def _token_put(self, v: dict[str, Any], _user: str) -> dict[str, Any]:
        info = self.account_tokens[self._token(v)]
        info.update({key: v[key] for key in ("comment", "expire", "privsep") if key in v})
        return info

    async def _token_delete(self, v: dict[str, Any], _user: str) -> None:
        self._forget_token(self._token(v))

    async def _pool_delete(self, v: dict[str, Any], user: str) -> None:
        """Delete an empty pool, and with it what was given on it (PVE::API2::Pool, delete_pool)."""
        await super()._pool_delete(v, user)
        self.remove_access(f"/pool/{v['poolid']}")

    async def _acl_list(self, _v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        audit = self.allowed(user, "/access", "Sys.Audit") or self.allowed(user, "/access", "Permissions.Modify")
        return [dict(acl) for acl in self.acls if audit or self.allowed(user, acl["path"], "Permissions.Modify")]

    async def _acl_put(self, v: dict[str, Any], _user: str) -> None:
        path = "/" + "/".join(part for part in v["path"].split("/") if part)
        if not _ACL_PATH.match(path):
            raise param_error(path=f"invalid ACL path '{v['path']}'")
        for role in split_list(v["roles"]):
            if not v.get("delete") and role not in self.roles and role not in ROLES:
                raise die(f"update ACL failed: role '{role}' does not exist")
            for group in split_list(v.get("groups")):
                raise die(f"update ACL failed: no such group ('{group}')")
            for kind in ("user", "token"):
                for who in split_list(v.get(kind + "s")):
                    self._acl_set(path, kind, who, role, v)

    def _acl_set(self, path: str, kind: str, who: str, role: str, v: dict[str, Any]) -> None:
        userid, _, name = who.partition("!")
        if not v.get("delete"):
            if userid not in self.accounts:
                raise die(f"update ACL failed: no such user ('{userid}')")
            if kind == "token" and who not in self.account_tokens:
                raise die(f"update ACL failed: no such token '{name}' for user '{userid}'")
        key = (path, who, role)
        self.acls = [acl for acl in self.acls if (acl["path"], acl["ugid"], acl["roleid"]) != key]
        if not v.get("delete"):
            propagate = int(v.get("propagate", 1))
            entry = {"path": path, "type": kind, "ugid": who, "roleid": role, "propagate": propagate}
            self.acls.append(entry)
