"""Vault's OIDC auth method: logins of people through an identity provider, as typed values; pure Python.

Owns no resource. What applies to roles in `auth.py` applies here. It is applied as an `Addition`, once there is a
provider: Vault asks the provider when the method is configured, and refuses the configuration if it gets no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from components.vault.auth import check_lifetime, check_policies, check_unique
from components.vault.policy import checked_name, checked_path


def from_environment(variable: str) -> str:
    """An expression for the value of the configurer's environment variable.

    In backticks: the operator stores the configuration as JSON, where double quotes are escaped, and the configurer
    fails on them. The value is inserted into JSON verbatim, so it must need no escaping there.
    """
    return f"${{ env `{variable}` }}"


def from_file(path: str) -> str:
    """An expression for the content of a file in the configurer's pod, such as a certificate."""
    return f"${{ file `{path}` }}"


def from_template(name: str) -> str:
    """A field that External Secrets Operator fills in, for a document that is a template of a Secret."""
    return f"{{{{ .{name} }}}}"


@dataclass(frozen=True, kw_only=True)
class OidcRole:
    """Which people of the identity provider may log in, and what each of them gets.

    claims: the values of which a user's claim must have one; without them every user of the provider would get in.
    Rights of groups come from `ExternalGroup`, not from `policies`.
    """

    name: str
    claims: Mapping[str, tuple[str, ...]]
    redirect_uris: tuple[str, ...]
    audience: str
    policies: tuple[str, ...]
    token_ttl: int
    token_max_ttl: int = 0
    user_claim: str = "sub"
    groups_claim: str = "groups"
    scopes: tuple[str, ...] = ("openid", "profile", "email")

    def __post_init__(self) -> None:
        checked_name("role", self.name)
        if not self.claims or not all(self.claims.values()):
            raise ValueError(
                f"role {self.name!r}: without bound claims every user of the provider logs in; "
                "give the groups that may, such as {'groups': ('vault-users',)}"
            )
        if not self.redirect_uris:
            raise ValueError(f"role {self.name!r}: allows no redirect URI, so no login can end; give Vault's callback")
        for uri in self.redirect_uris:
            if "*" in uri or not uri.startswith(("https://", "http://localhost:")):
                raise ValueError(
                    f"role {self.name!r}: redirect URI {uri!r} could hand the login to another site; "
                    "give one whole https:// address, or http://localhost:8250/oidc/callback for the command line"
                )
        if "openid" not in self.scopes:
            raise ValueError(f"role {self.name!r}: scope openid makes it OpenID Connect; add it")
        if not self.audience:
            raise ValueError(
                f"role {self.name!r}: without an audience tokens for other clients count; give the client id"
            )
        check_policies(self.name, self.policies)
        check_lifetime(self.name, self.token_ttl, self.token_max_ttl)

    def document(self) -> dict[str, Any]:
        """The entry of the method's `roles`."""
        return {
            "name": self.name,
            "role_type": "oidc",
            "user_claim": self.user_claim,
            "groups_claim": self.groups_claim,
            "oidc_scopes": list(self.scopes),
            "bound_audiences": [self.audience],
            "bound_claims_type": "string",
            "bound_claims": {claim: list(values) for claim, values in self.claims.items()},
            "allowed_redirect_uris": list(self.redirect_uris),
            "token_policies": list(self.policies),
            "token_ttl": self.token_ttl,
            "token_max_ttl": self.token_max_ttl,
        }


@dataclass(frozen=True, kw_only=True)
class OidcAuth:
    """Logins of people through an OpenID Connect provider.

    discovery_url: the issuer, without /.well-known; Vault fetches it when this is applied, so it must answer then.
    client_secret, discovery_ca: expressions of `from_environment`, `from_file` or `from_template`, never the value: the
    program's document is not a secret. None for a provider whose certificate the system trusts.
    """

    path: str
    discovery_url: str
    client_id: str
    client_secret: str
    default_role: str
    roles: tuple[OidcRole, ...]
    discovery_ca: str | None = None
    listing: Literal["unauth", "hidden"] = "unauth"

    def __post_init__(self) -> None:
        checked_path("auth", self.path)
        check_unique(self.path, [role.name for role in self.roles])
        if self.default_role not in [role.name for role in self.roles]:
            raise ValueError(
                f"auth {self.path!r}: default role {self.default_role!r} is not one of its roles; "
                f"choose from {', '.join(role.name for role in self.roles)}"
            )
        for key, value in (("client_secret", self.client_secret), ("discovery_ca", self.discovery_ca)):
            if value is not None and not value.startswith(("${ env `", "${ file `", "{{ .")):
                raise ValueError(
                    f"auth {self.path!r}: {key} would be in plain text in the configuration; "
                    "give it by from_environment(), from_file() or from_template()"
                )

    def document(self) -> dict[str, Any]:
        """The entry of the configurer's `auth`."""
        config = {
            "oidc_discovery_url": self.discovery_url,
            "oidc_client_id": self.client_id,
            "oidc_client_secret": self.client_secret,
            "default_role": self.default_role,
        }
        if self.discovery_ca is not None:
            config["oidc_discovery_ca_pem"] = self.discovery_ca
        return {
            "type": "oidc",
            "path": self.path,
            "options": {"listing_visibility": self.listing},
            "config": config,
            "roles": [role.document() for role in self.roles],
        }


@dataclass(frozen=True, kw_only=True)
class ExternalGroup:
    """What members of a provider's group may do.

    name: the group's value in the groups claim, and its name in Vault.
    mount: path of the OIDC method whose claim it is.
    """

    name: str
    mount: str
    policies: tuple[str, ...]

    def __post_init__(self) -> None:
        checked_name("group", self.name)
        checked_path("group's mount", self.mount)
        check_policies(self.name, self.policies)

    def document(self) -> dict[str, Any]:
        """The entry of the configurer's `groups`."""
        return {
            "name": self.name,
            "type": "external",
            "policies": list(self.policies),
            "metadata": {"mount": self.mount},
        }

    def alias(self) -> dict[str, Any]:
        """The entry of the configurer's `group-aliases`."""
        return {"name": self.name, "mountpath": self.mount, "group": self.name}
