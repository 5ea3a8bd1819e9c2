"""Sign-on for an application that has none of its own: Authentik stands before it and lets through who may.

Owns no resource but the form of a row, `Proxied`, whose table is in `stacks/proxied.py`. From it come provider,
application and access in Authentik. `proxied_entry.py` leads the application's host name there; who reaches the
application's pods is said beside it in the repository.

Authentik's servers have a proxy in them, the embedded outpost, which looks at the host name of each request to their
port 9000: one of a provider in mode `proxy` goes on to `internal_host` once the person has signed on
(https://docs.goauthentik.io/add-secure-apps/providers/proxy/). The other modes need an ingress that asks before each
request. F5's asks only by a Policy of its own custom resources, which are off here, and not for an Ingress:
`ExternalAuth` in pkg/apis/configuration/v1/types.go of https://github.com/nginx/kubernetes-ingress, 5.5.4.

Whoever reaches the pods passes by all of this, so only Authentik's servers may reach them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from components.identity.blueprint import Entry, KeyOf
from components.identity.sso import AUTHORIZATION, INVALIDATION, NAME, SCOPES, group
from components.kit.namespace import SERVICE_DOMAIN

_EMBEDDED: Final = "goauthentik.io/outposts/embedded"
"""By which Authentik knows the outpost that is in its servers: `MANAGED_OUTPOST` in authentik/outposts/apps.py."""

_SCOPES: Final = ("openid", "profile", "email")
"""Name, address and groups, which the application finds in headers. Authentik adds mappings of its own that it makes
at some time after its start: `set_oauth_defaults` in authentik/providers/proxy/models.py."""


@dataclass(frozen=True, kw_only=True)
class Proxied:
    """A row of the table.

    slug: of the application, and the name of its Service and of its release.
    namespace: where it runs.
    host: first label of its host name.
    groups: whose members may open it.
    open_paths: regular expressions of paths that anybody may open, such as that of an API with keys of its own. There
        the headers that name a person are the caller's own, so the application must not believe them.
    port: of the Service, which speaks HTTP.
    """

    slug: str
    title: str
    namespace: str
    host: str
    groups: Sequence[str]
    open_paths: Sequence[str] = ()
    port: int = 80

    def __post_init__(self) -> None:
        for name in (self.slug, *self.groups):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r}: applications and groups are lower-case letters, digits and inner dashes")
        if not self.groups:
            raise ValueError(f"{self.slug}: without a group every user could open it; name the groups that may")
        if wrong := [path for path in self.open_paths if not path.startswith("^/")]:
            # Authentik looks for the expression anywhere in the path.
            raise ValueError(f"{self.slug}: {wrong[0]!r} would match in the middle of a path; begin it with ^/")

    @property
    def provider(self) -> str:
        """Id of the entry of its provider."""
        return f"{self.slug}-provider"

    @property
    def internal(self) -> str:
        """Where Authentik finds it."""
        port = "" if self.port == 80 else f":{self.port}"
        return f"http://{self.slug}.{self.namespace}.svc.{SERVICE_DOMAIN}{port}"

    def entries(self, domain: str) -> tuple[Entry, ...]:
        """Provider, application, and who may open it, for the blueprint that also makes groups and flows."""
        application = f"{self.slug}-application"
        address = f"https://{self.host}.{domain}"
        access = [
            Entry(
                model="authentik_policies.policybinding",
                identifiers={"target": KeyOf(application), "group": group(name).reference(within=True)},
                attrs={"order": order, "enabled": True, "negate": False},
            )
            for order, name in enumerate(self.groups)
        ]
        return (
            Entry(
                model="authentik_providers_proxy.proxyprovider",
                id=self.provider,
                identifiers={"name": self.slug},
                attrs={
                    "mode": "proxy",
                    "external_host": address,
                    "internal_host": self.internal,
                    "authorization_flow": AUTHORIZATION.reference(within=True),
                    "invalidation_flow": INVALIDATION.reference(within=True),
                    "property_mappings": [SCOPES[scope].reference(within=True) for scope in _SCOPES],
                    # An application's own Authorization header is for the application.
                    "intercept_header_auth": False,
                    "skip_path_regex": "\n".join(self.open_paths),
                },
            ),
            Entry(
                model="authentik_core.application",
                id=application,
                identifiers={"slug": self.slug},
                attrs={
                    "name": self.title,
                    "provider": KeyOf(self.provider),
                    "meta_launch_url": f"{address}/",
                    "policy_engine_mode": "any",
                },
            ),
            *access,
        )


def outpost(rows: Iterable[Proxied], authority: str) -> tuple[Entry, ...]:
    """What the proxy in Authentik's servers is for; nothing without a row, which leaves it as it is.

    authority: host name at which people sign on.
    """
    providers = [KeyOf(row.provider) for row in rows]
    if not providers:
        return ()
    return (
        Entry(
            model="authentik_outposts.outpost",
            identifiers={"managed": _EMBEDDED},
            attrs={
                "name": "authentik Embedded Outpost",
                "type": "proxy",
                "providers": list(providers),
                "config": {"authentik_host": f"https://{authority}/"},
            },
        ),
    )
