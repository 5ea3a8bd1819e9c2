"""Vault's side of single sign-on: its second document, with the OIDC method, made from the row of Authentik's side.

Owns no resource; pure Python. The document repeats the auth methods of the first one; `components/vault/config.py` says
why. Vault fetches the provider's discovery document when this one is applied, and refuses it otherwise; its configurer
then tries again, so that it is applied once Authentik answers. Its method names the public address, which is the issuer
that Authentik writes into tokens and that browsers go to; an address inside the cluster would be a different issuer,
and logins would fail.
"""

from __future__ import annotations

import json
from typing import Final

from components.identity.sso import CLIENT_SECRET, GROUPS_CLAIM, Service
from components.vault.config import Addition, VaultConfiguration
from components.vault.lint import require_clean
from components.vault.oidc import ExternalGroup, OidcAuth, OidcRole, from_file, from_template
from components.vault.resource import TLS_PATH

ROLE: Final = "authentik-users"
"""The role of everyone who signs on; rights come from groups."""

MOUNT: Final = "oidc"
DOCUMENT: Final = "vault-config.yml"
"""Key of a Secret under which the operator looks for a further document."""

CLUSTER_AUTHORITY: Final = from_file(f"{TLS_PATH}/ca.crt")
"""The certificate of the cluster's own authority, in the configurer's pod."""

_LOGIN: Final = 8 * 3600
"""Seconds in a working day."""


def sign_on(
    service: Service, domain: str, authority: str, *, first: VaultConfiguration, discovery_ca: str | None
) -> Addition:
    """Vault's OIDC method for the row of Vault.

    authority: Authentik's host name.
    first: the first document.
    discovery_ca: `CLUSTER_AUTHORITY`, if that signs Authentik's certificate, or None for a CA that everybody knows.
    """
    client = service.client(domain, authority)
    role = OidcRole(
        name=ROLE,
        claims={GROUPS_CLAIM: tuple(service.groups)},
        redirect_uris=tuple(service.redirect_uris(domain)),
        audience=client.slug,
        policies=("default",),
        token_ttl=_LOGIN,
        token_max_ttl=_LOGIN,
        groups_claim=GROUPS_CLAIM,
        scopes=client.scopes,
    )
    return Addition(
        first=first,
        auth=(
            OidcAuth(
                path=MOUNT,
                discovery_url=client.issuer,
                client_id=client.slug,
                client_secret=from_template(CLIENT_SECRET),
                default_role=ROLE,
                roles=(role,),
                discovery_ca=discovery_ca,
            ),
        ),
        groups=tuple(
            ExternalGroup(name=group, mount=MOUNT, policies=(policy,)) for group, policy in service.groups.items()
        ),
    )


def text(addition: Addition) -> str:
    """The document as JSON, which is YAML too.

    What the configurer reads from a file becomes one string in which lines end with a backslash and an n, and only in
    a double-quoted string do these become line breaks. Raises ValueError for what Vault or its configurer would drop.
    """
    document = json.dumps(addition.document(), indent=2)
    require_clean(document)
    return document
