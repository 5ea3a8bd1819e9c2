"""The people of the platform: groups and users, and the claims about them for services, as entries of a blueprint.

Owns no resource. A user has no password here or anywhere in git: `make enrol` prints a link with which they set one.
What is removed from the table stays in Authentik, which never removes anything on its own: set users inactive instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from components.identity.blueprint import Entry, Value
from components.identity.sso import AUTHORIZATION, GROUPS_CLAIM, INVALIDATION, SCOPES, Shared, group

USERNAME: Final = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*")
"""The user names that every service takes."""

TEMPLATE: Final = "{{"
"""Starts a template in what external-secrets writes, so no text about a person may hold it."""

RESERVED: Final = {
    "akadmin": "Authentik, whose first administrator it is",
    **dict.fromkeys(
        (
            *("admin", "api", "assets", "attachments", "avatar", "avatars", "captcha", "commits", "debug", "devtest"),
            *("error", "explore", "favicon.ico", "ghost", "gitea-actions", "issues", "login", "manifest.json"),
            *("metrics", "milestones", "new", "notifications", "org", "pulls", "raw", "repo", "repo-avatars"),
            *("robots.txt", "search", "serviceworker.js", "ssh_info", "swagger.v1.json", "user", "v2"),
        ),
        "Gitea, as a word of its URLs",
    ),
}
"""User names that a service keeps for itself, and which: Authentik's blueprint of its first administrator, and
`reservedUsernames` in https://github.com/go-gitea/gitea/blob/main/models/user/user.go."""

_RESERVED_ENDINGS: Final = (".keys", ".gpg", ".rss", ".atom", ".png")
"""With which a page about a user ends in Gitea: `reservedUserPatterns`, at the same place."""


def reserved(username: str) -> str | None:
    """The service that keeps a user name for itself, if there is one, and why."""
    pages = "Gitea, as the end of a page's URL" if username.endswith(_RESERVED_ENDINGS) else None
    return RESERVED.get(username, pages)


# Authentik's own mappings and flows are not used: its blueprints may be applied later than ours at the first start. Its
# profile also has only the groups that a user is in directly; `all_groups` includes the parents of those groups.
_EXPRESSIONS: Final = {
    "openid": "return {}\n",
    "profile": f"""\
return {{
    "name": request.user.name,
    "given_name": request.user.name,
    "preferred_username": request.user.username,
    "nickname": request.user.username,
    "{GROUPS_CLAIM}": sorted({{group.name for group in request.user.all_groups()}}),
}}
""",
    # Addresses are in git, written by whoever runs the platform; users cannot change theirs.
    "email": """\
return {
    "email": request.user.email,
    "email_verified": True,
}
""",
    "offline_access": "return {}\n",
}
_SHOWN: Final = {
    "profile": "Your name and the groups you are in",
    "email": "Your e-mail address",
    "offline_access": "Access while you are away",
}


@dataclass(frozen=True, kw_only=True)
class User:
    """A person.

    username: by which services know them; changing it makes them another person.
    """

    email: str
    username: str
    name: str
    groups: tuple[str, ...]
    active: bool = True

    def __post_init__(self) -> None:
        if TEMPLATE in f"{self.email}{self.name}":
            raise ValueError(
                f"name: that of {self.email} holds {TEMPLATE!r}, which would start a template; leave it out"
            )
        if not USERNAME.fullmatch(self.username):
            raise ValueError(
                f"username: {self.username!r} of {self.email} is not taken by every service; use lower-case letters "
                "and digits, with single dots, dashes and underscores between them"
            )


def directory(groups: Sequence[str], users: Sequence[User]) -> tuple[Entry, ...]:
    """Groups, users with their memberships, and what all services share: two flows without a page, and the scopes.

    Raises ValueError for a user in a group that does not exist, and for two users with the same name.
    """
    for user in users:
        if unknown := [name for name in user.groups if name not in groups]:
            raise ValueError(
                f"groups: {unknown[0]!r} of {user.email} is not a group; choose from {', '.join(sorted(groups))}"
            )
    names = [user.username for user in users]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"username: {twice[0]!r} appears twice; give one of them another")
    return (
        *(Entry(model=group(name).model, id=group(name).id, identifiers={"name": name}) for name in sorted(groups)),
        *(_user(user) for user in users),
        _flow(AUTHORIZATION, "authorization", "Redirecting to %(app)s", "require_authenticated"),
        _flow(INVALIDATION, "invalidation", "You have left %(app)s", "none"),
        *(_scope(scope, shared) for scope, shared in SCOPES.items()),
    )


def _user(user: User) -> Entry:
    return Entry(
        model="authentik_core.user",
        identifiers={"username": user.username},
        attrs={
            "name": user.name,
            "email": user.email,
            "is_active": user.active,
            "groups": [group(name).reference(True) for name in user.groups],
            "path": "homelab",
            "type": "internal",
        },
    )


def _flow(flow: Shared, designation: str, title: str, authentication: str) -> Entry:
    return Entry(
        model=flow.model,
        id=flow.id,
        identifiers={flow.by: flow.value},
        attrs={
            "name": f"Homelab: {designation} of a service",
            "title": title,
            "designation": designation,
            "authentication": authentication,
        },
    )


def _scope(scope: str, shared: Shared) -> Entry:
    shown: dict[str, Value] = {"description": _SHOWN[scope]} if scope in _SHOWN else {}
    return Entry(
        model=shared.model,
        id=shared.id,
        identifiers={shared.by: shared.value},
        attrs={"name": f"Homelab: {scope}", "scope_name": scope, "expression": _EXPRESSIONS[scope], **shown},
    )
