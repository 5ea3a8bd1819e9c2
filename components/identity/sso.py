"""Single sign-on for one service, with both sides made from the same row: Authentik's and the service's own.

Owns no resource. A `Service` is a row of the table in `stacks/sso.py`. From it come provider, application and access in
Authentik, the Secret with the client's secret, and the service's configuration. No value of a secret is here: in its
place is a template, which External Secrets Operator fills in inside the cluster.

Authentik's file has the value in it, rather than an environment variable that the file refers to: Authentik applies a
file again when its hash changes, and a changed variable changes no file. So a rotated client secret reaches both sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from components.identity.blueprint import Entry, Find, KeyOf, Tag, Value
from components.secrets.secret_spec import Password, Plain, SecretSpec

GROUPS_CLAIM: Final = "groups"
"""The claim with the names of a user's groups."""

CLIENT_SECRET: Final = "client_secret"  # noqa: S105 - a key
"""The one generated key of a client's Secret; at most 255 characters for Authentik, so 64 letters and digits."""

FILLED_IN: Final = f"{{{{ .{CLIENT_SECRET} }}}}"
"""Stands for the client's secret in its own Secret."""

VALUES_KEY: Final = "values.yaml"
"""The key that a Flux HelmRelease names in `valuesFrom`, with the Secret."""

NAME: Final = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
"""Of an application or a group."""

_ENDPOINTS: Final = ("authorize", "token", "device", "userinfo", "introspect", "revoke")
"""Paths beside those of applications; Authentik refuses an application with one of these names."""


@dataclass(frozen=True)
class Shared:
    """An object that several services need, made by the blueprint of `directory.py`."""

    model: str
    by: str
    value: str

    @property
    def id(self) -> str:
        """Of its entry."""
        return f"{self.model.rpartition('.')[2]}-{self.value.rpartition('/')[2]}"

    def reference(self, within: bool) -> Tag:
        """From an entry of the same blueprint, or of another one that is applied later."""
        return KeyOf(self.id) if within else Find(self.model, self.by, self.value)


def group(name: str) -> Shared:
    """The group of that name."""
    return Shared("authentik_core.group", "name", name)


SCOPES: Final = {
    scope: Shared("authentik_providers_oauth2.scopemapping", "managed", f"homelab/scope/{scope}")
    for scope in ("openid", "profile", "email", "offline_access")
}
"""The scopes that a client may ask for."""

AUTHORIZATION: Final = Shared("authentik_flows.flow", "slug", "homelab-authorization")
INVALIDATION: Final = Shared("authentik_flows.flow", "slug", "homelab-invalidation")

# Made at Authentik's start, before it applies any blueprint.
_SIGNING_KEY: Final = Find("authentik_crypto.certificatekeypair", "managed", "goauthentik.io/crypto/jwt-managed")


@dataclass(frozen=True, kw_only=True)
class PrivateAuthority:
    """The signer of Authentik's certificate, if no image trusts it by itself: a Secret in the service's namespace.

    key: of its certificate, the only thing in there.
    """

    secret: str
    key: str

    @property
    def file(self) -> str:
        """Where a container has the certificate that mounts `mount`."""
        return f"{self.mount['mountPath']}/{self.key}"

    @property
    def volume(self) -> dict[str, Any]:
        """An entry of a pod's `volumes`."""
        return {"name": "authority", "secret": {"secretName": self.secret}}

    @property
    def mount(self) -> dict[str, Any]:
        """An entry of a container's `volumeMounts`."""
        return {"name": "authority", "mountPath": "/authority", "readOnly": True}


@dataclass(frozen=True, kw_only=True)
class Client:
    """What a service needs to know about its provider.

    slug: of the application; also the client's id.
    authority: host name of Authentik.
    address: URL of the service, without a trailing slash.
    callback_address: the same of what logins return to, which is a host of its own for some services.
    private: what it must trust to reach Authentik; None while that has a certificate of a public CA.
    """

    slug: str
    title: str
    authority: str
    address: str
    scopes: tuple[str, ...]
    groups: Mapping[str, str]
    secret: str
    callback_address: str = ""
    private: PrivateAuthority | None = None

    @property
    def issuer(self) -> str:
        """As Authentik writes it into tokens, for a request to `authority`; the trailing slash is part of it."""
        return f"https://{self.authority}/application/o/{self.slug}/"

    @property
    def discovery(self) -> str:
        """URL of the provider's discovery document."""
        return f"{self.issuer}.well-known/openid-configuration"

    def endpoint(self, name: str) -> str:
        """URL of `authorize`, `token` or `userinfo`, which all applications of Authentik share."""
        return f"https://{self.authority}/application/o/{name}/"

    def in_role(self, role: str) -> str:
        """The group whose members have this role. Raises ValueError when there is none."""
        for group, given in self.groups.items():
            if given == role:
                return group
        raise ValueError(f"{self.slug}: no group has role {role!r}; there are {', '.join(self.groups.values())}")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A service's own side.

    plain: keys that its chart expects in the Secret although their values are not secret.
    secret: further keys, as templates with `FILLED_IN`.
    values: Helm values that point the chart at the Secret and at the provider; no secret.
    """

    plain: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A row of the table.

    namespace: where the service runs and reads its Secret.
    host: first label of its host name.
    callbacks: where logins return to: paths of the service, or full URLs of a program on the user's machine.
    groups: the role of each group's members, in the service's own terms, the most powerful first. Only they may
        open the application at all.
    configuration: makes the service's side.
    scopes: what it asks for.
    origin: namespace in whose part of Vault the client's secret is stored. The others get a copy.
    callback_host: first label of the host to which logins return, if it is another one.
    """

    slug: str
    title: str
    namespace: str
    host: str
    callbacks: tuple[str, ...]
    groups: Mapping[str, str]
    configuration: Callable[[Client], Configuration]
    origin: str
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    callback_host: str | None = None

    def __post_init__(self) -> None:
        for name in (self.slug, *self.groups):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r}: services and groups are lower-case letters, digits and inner dashes")
        if self.slug in _ENDPOINTS:
            raise ValueError(f"{self.slug}: is an endpoint of Authentik's own; name the service otherwise")
        if not self.groups:
            raise ValueError(f"{self.slug}: without a group every user could open it; name the groups that may")
        if not self.callbacks:
            raise ValueError(f"{self.slug}: without a callback no login can end; give its path")
        if unknown := [scope for scope in self.scopes if scope not in SCOPES]:
            raise ValueError(f"{self.slug}: scope {unknown[0]!r} has no mapping; choose from {', '.join(SCOPES)}")
        if not {"openid", "profile"} <= set(self.scopes):
            raise ValueError(f"{self.slug}: needs scopes openid and profile, which carries the groups; add them")

    @property
    def secret(self) -> str:
        """Name of the Secret, in both namespaces."""
        return f"oidc-{self.slug}"

    def redirect_uris(self, domain: str) -> list[str]:
        """Full URLs of the callbacks."""
        host = self.callback_host or self.host
        return [uri if "://" in uri else f"https://{host}.{domain}{uri}" for uri in self.callbacks]

    def client(self, domain: str, authority: str, private: PrivateAuthority | None = None) -> Client:
        """What the service needs to know; `authority` is Authentik's host name, `private` as in `Client`."""
        return Client(
            slug=self.slug,
            title=self.title,
            authority=authority,
            address=f"https://{self.host}.{domain}",
            scopes=self.scopes,
            groups=self.groups,
            secret=self.secret,
            callback_address=f"https://{self.callback_host or self.host}.{domain}",
            private=private,
        )

    def entries(self, domain: str, secret: str, *, within: bool) -> tuple[Entry, ...]:
        """Authentik's side: provider, application, and who may open it. Members of any one group may.

        secret: the template that stands for the client's secret.
        within: whether they stand in the blueprint that also makes groups, flows and scopes.
        """
        provider, application = f"{self.slug}-provider", f"{self.slug}-application"
        attrs: dict[str, Value] = {
            "client_type": "confidential",
            "client_id": self.slug,
            CLIENT_SECRET: secret,
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": [
                {"matching_mode": "strict", "url": uri, "redirect_uri_type": "authorization"}
                for uri in self.redirect_uris(domain)
            ],
            "authorization_flow": AUTHORIZATION.reference(within),
            "invalidation_flow": INVALIDATION.reference(within),
            # Without a key Authentik would sign with the client's secret, which clients cannot verify with the key set.
            "signing_key": _SIGNING_KEY,
            "property_mappings": [SCOPES[scope].reference(within) for scope in self.scopes],
            "issuer_mode": "per_provider",
            # The user name from git, so that every service recognizes people again after the database was lost.
            "sub_mode": "user_username",
            "include_claims_in_id_token": True,
        }
        access = [
            Entry(
                model="authentik_policies.policybinding",
                identifiers={"target": KeyOf(application), "group": group(name).reference(within)},
                attrs={"order": order, "enabled": True, "negate": False},
            )
            for order, name in enumerate(self.groups)
        ]
        return (
            Entry(
                model="authentik_providers_oauth2.oauth2provider",
                id=provider,
                identifiers={"name": self.slug},
                attrs=attrs,
            ),
            Entry(
                model="authentik_core.application",
                id=application,
                identifiers={"slug": self.slug},
                attrs={
                    "name": self.title,
                    "provider": KeyOf(provider),
                    "meta_launch_url": f"https://{self.host}.{domain}/",
                    "policy_engine_mode": "any",
                },
            ),
            *access,
        )

    def credentials(
        self,
        domain: str,
        authority: str,
        files: Mapping[str, str] | None = None,
        private: PrivateAuthority | None = None,
    ) -> SecretSpec:
        """The Secret: the value, and what the service's chart looks for.

        files: further keys, as templates.
        """
        client = self.client(domain, authority, private)
        own = self.configuration(client)
        plain = {"client_id": client.slug, "issuer": client.issuer, **own.plain}
        plain |= {VALUES_KEY: yaml.safe_dump(dict(own.values), sort_keys=False)} if own.values else {}
        return SecretSpec(
            name=self.secret,
            namespace=self.origin,
            keys={CLIENT_SECRET: Password(length=64), **{key: Plain(text) for key, text in plain.items()}},
            derived={**own.secret, **(files or {})},
        )
