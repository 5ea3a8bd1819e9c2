"""Vault's Kubernetes auth method and its roles, as typed values; pure Python. That for people is `oidc.py`.

Owns no resource. Roles always state their audience or claims, policies and lifetime: a Vault role without them is
valid and wide open. They use only the `token_` fields, and render every field each time, because a write to a role
changes only the fields that it names: an omitted one keeps its old value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.vault.policy import checked_name, checked_path, duplicates

LONGEST_TTL = 24 * 3600
"""Most seconds that a login may last. Vault's own default, for a role that sets no limit, is 32 days."""


def check_lifetime(role: str, ttl: int, longest: int) -> None:
    """Raise ValueError for a login that would last too long, or for limits that make no sense; both in seconds."""
    if not 0 < ttl <= LONGEST_TTL:
        raise ValueError(
            f"role {role!r}: token_ttl {ttl} s; a login lasts between 1 and {LONGEST_TTL} s, "
            "and 0 would mean Vault's default of 32 days; give what a single use needs"
        )
    if longest and longest < ttl:
        raise ValueError(f"role {role!r}: token_max_ttl {longest} s is below token_ttl {ttl} s; give {ttl} or more")


def check_policies(role: str, policies: tuple[str, ...]) -> None:
    """Raise ValueError for policies that grant nothing or everything."""
    if not policies:
        raise ValueError(f"role {role!r}: names no policy, so a login could do nothing; name one")
    if "root" in policies:
        raise ValueError(f"role {role!r}: policy root ends every check; name what the login needs")
    if repeated := duplicates(policies):
        raise ValueError(f"role {role!r}: policy {repeated[0]!r} appears twice; name it once")


def check_unique(mount: str, names: list[str]) -> None:
    """Raise ValueError for two roles with the same name."""
    if repeated := duplicates(names):
        raise ValueError(f"auth {mount!r}: role {repeated[0]!r} appears twice and the second would win; rename one")


@dataclass(frozen=True, kw_only=True)
class KubernetesRole:
    """Which service accounts may log in, and what they get.

    service_accounts, namespaces: names; any of these accounts in any of these namespaces; no wildcard.
    audience: the audience that a token must have been issued for; a token for the API server is then refused.
    token_ttl: seconds that a login lasts; token_max_ttl: seconds up to which it can be renewed, 0 for no renewal
    beyond Vault's own limit.
    """

    name: str
    service_accounts: tuple[str, ...]
    namespaces: tuple[str, ...]
    audience: str
    policies: tuple[str, ...]
    token_ttl: int
    token_max_ttl: int = 0

    def __post_init__(self) -> None:
        checked_name("role", self.name)
        for kind, values in (("service account", self.service_accounts), ("namespace", self.namespaces)):
            if not values:
                raise ValueError(f"role {self.name!r}: binds no {kind}, so nobody could log in; name one")
            if any("*" in value for value in values):
                raise ValueError(f"role {self.name!r}: a wildcard lets every {kind} in; name each")
            if repeated := duplicates(values):
                raise ValueError(f"role {self.name!r}: {kind} {repeated[0]!r} appears twice; name it once")
        if not self.audience:
            raise ValueError(
                f"role {self.name!r}: without an audience any token of the service account logs in, "
                "even one issued for another server; give one such as 'vault'"
            )
        check_policies(self.name, self.policies)
        check_lifetime(self.name, self.token_ttl, self.token_max_ttl)

    def document(self) -> dict[str, Any]:
        """The entry of the method's `roles`."""
        return {
            "name": self.name,
            "bound_service_account_names": list(self.service_accounts),
            "bound_service_account_namespaces": list(self.namespaces),
            "audience": self.audience,
            "token_policies": list(self.policies),
            "token_ttl": self.token_ttl,
            "token_max_ttl": self.token_max_ttl,
        }


@dataclass(frozen=True, kw_only=True)
class KubernetesAuth:
    """Logins of service accounts of this cluster.

    host: the API server that is asked whether a token is valid. Vault asks with its own pod's token and CA, which it
    reads again as they change; neither is configured.
    """

    path: str
    roles: tuple[KubernetesRole, ...]
    host: str = "https://kubernetes.default.svc"

    def __post_init__(self) -> None:
        checked_path("auth", self.path)
        check_unique(self.path, [role.name for role in self.roles])
        if not self.host.startswith("https://"):
            raise ValueError(f"auth {self.path!r}: {self.host!r} is not an https:// address; give the API server's")

    def accessor(self) -> str:
        """An expression for this mount's accessor, for a policy's path; the configurer fills it in."""
        return f"${{ accessor `{self.path}` }}"

    def namespace_of_login(self) -> str:
        """The segment of a policy's path that stands for the namespace of the account that logged in here."""
        return f"{{{{identity.entity.aliases.{self.accessor()}.metadata.service_account_namespace}}}}"

    def document(self) -> dict[str, Any]:
        """The entry of the configurer's `auth`."""
        return {
            "type": "kubernetes",
            "path": self.path,
            "config": {"kubernetes_host": self.host},
            "roles": [role.document() for role in self.roles],
        }
