"""Every service that people sign on to, as one table, and the groups that give them their roles.

Owns what there is: both sides of each are made by `components/identity/sso.py`, so that they cannot differ. A service
is one row here; a right is a group of a user in the stack file (`homelab:identity`). The names of a Secret's keys are
those that a chart looks for; the function of a service says which chart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from components.identity.authentik_secrets import NAMESPACE
from components.identity.blueprint import Blueprint
from components.identity.directory import User, directory
from components.identity.sso import CLIENT_SECRET, FILLED_IN, GROUPS_CLAIM, Client, Configuration, Service
from components.secrets.secret_spec import SecretSpec
from components.vault.clients import PEOPLE_ADMIN, PEOPLE_READER, VAULT_NAMESPACE

AUTHORITY = "auth"
"""First label of Authentik's host name."""

OTHER_GROUPS = ("rspcache-admins",)
"""Groups of services that do not sign people on themselves."""

_PROVIDER = "authentik"
"""Name of the provider inside a service, which is a part of some services' callbacks."""


_SHOWN = "Authentik"
"""What people read on the button with which they sign on."""


def _gitea(client: Client) -> Configuration:
    """Chart gitea 12.6: the Secret's keys are `key` and `secret`, other entries are options of `add-oauth`."""
    return Configuration(
        plain={"key": client.slug},
        secret={"secret": FILLED_IN},
        values={
            "gitea": {
                "oauth": [
                    {
                        "name": _PROVIDER,
                        "provider": "openidConnect",
                        "existingSecret": client.secret,
                        "autoDiscoverUrl": client.discovery,
                        "scopes": " ".join(client.scopes),
                        "groupClaimName": GROUPS_CLAIM,
                        "adminGroup": client.in_role("administrator"),
                    }
                ],
                "config": {
                    "server": {"ROOT_URL": f"{client.address}/"},
                    "oauth2_client": {"ENABLE_AUTO_REGISTRATION": True, "USERNAME": "nickname"},
                },
            }
        },
    )


def _harbor(client: Client) -> Configuration:
    """Chart harbor 1.19: one variable with all of Harbor's settings, which then cannot be changed in its pages."""
    settings = {
        "auth_mode": "oidc_auth",
        "oidc_name": _SHOWN,
        "oidc_endpoint": client.issuer,
        "oidc_client_id": client.slug,
        "oidc_client_secret": FILLED_IN,
        "oidc_scope": ",".join(client.scopes),
        "oidc_groups_claim": GROUPS_CLAIM,
        "oidc_admin_group": client.in_role("administrator"),
        "oidc_user_claim": "preferred_username",
        "oidc_auto_onboard": True,
        "oidc_verify_cert": True,
    }
    variable = "CONFIG_OVERWRITE_JSON"
    return Configuration(
        secret={variable: json.dumps(settings)},
        values={
            "externalURL": client.address,
            "core": {"extraEnvVars": [{"name": variable, "valueFrom": _from(client, variable)}]},
        },
    )


def _grafana(client: Client) -> Configuration:
    """Grafana inside kube-prometheus-stack 88.5, whose chart refuses a secret in its values."""
    role = " || ".join(f"contains({GROUPS_CLAIM}[*], '{group}') && '{role}'" for group, role in client.groups.items())
    return Configuration(
        values={
            "grafana": {
                "envValueFrom": {"GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET": _from(client, CLIENT_SECRET)},
                "grafana.ini": {
                    "server": {"root_url": f"{client.address}/"},
                    "auth.generic_oauth": {
                        "enabled": True,
                        "name": _SHOWN,
                        "client_id": client.slug,
                        "scopes": " ".join(client.scopes),
                        "auth_url": client.endpoint("authorize"),
                        "token_url": client.endpoint("token"),
                        "api_url": client.endpoint("userinfo"),
                        "signout_redirect_url": f"{client.issuer}end-session/",
                        "use_pkce": True,
                        "allow_sign_up": True,
                        "groups_attribute_path": GROUPS_CLAIM,
                        "role_attribute_path": role,
                        "role_attribute_strict": True,
                    },
                },
            }
        },
    )


def _matrix(client: Client) -> Configuration:
    """Chart matrix-synapse 3.12: Synapse reads the secret from a file; new users get the name that they have here."""
    directory = "/synapse/oidc"
    return Configuration(
        values={
            "publicServerName": client.address.removeprefix("https://"),
            "extraConfig": {
                "oidc_providers": [
                    {
                        "idp_id": _PROVIDER,
                        "idp_name": _SHOWN,
                        "discover": True,
                        "issuer": client.issuer,
                        "client_id": client.slug,
                        "client_secret_path": f"{directory}/{CLIENT_SECRET}",
                        "scopes": list(client.scopes),
                        "attribute_requirements": [{"attribute": GROUPS_CLAIM, "value": client.in_role("user")}],
                        "user_mapping_provider": {
                            "config": {
                                "localpart_template": "{{ user.preferred_username }}",
                                "display_name_template": "{{ user.name }}",
                            }
                        },
                    }
                ]
            },
            "synapse": {
                "extraVolumes": [
                    {
                        "name": "oidc",
                        "secret": {
                            "secretName": client.secret,
                            "items": [{"key": CLIENT_SECRET, "path": CLIENT_SECRET}],
                        },
                    }
                ],
                "extraVolumeMounts": [{"name": "oidc", "mountPath": directory, "readOnly": True}],
            },
        },
    )


def _inventree(client: Client) -> Configuration:
    """Chart inventree 0.4: key `providers`, the JSON that django-allauth takes."""
    app = {
        "provider_id": _PROVIDER,
        "name": _SHOWN,
        "client_id": client.slug,
        "secret": FILLED_IN,
        "settings": {"server_url": client.discovery, "scope": list(client.scopes)},
    }
    return Configuration(
        secret={"providers": json.dumps({"openid_connect": {"APPS": [app]}})},
        values={
            "global": {
                "siteUrl": client.address,
                "ssoConfig": {
                    "backends": ["allauth.socialaccount.providers.openid_connect"],
                    "createSecret": False,
                    "providerSecretName": client.secret,
                },
            },
            "env": {
                "INVENTREE_GLOBAL_SETTINGS": json.dumps(
                    {
                        "LOGIN_ENABLE_SSO": True,
                        "LOGIN_ENABLE_SSO_REG": True,
                        "LOGIN_ENABLE_SSO_GROUP_SYNC": True,
                        "SSO_GROUP_KEY": GROUPS_CLAIM,
                        "SSO_GROUP_MAP": json.dumps(dict(client.groups)),
                    }
                )
            },
        },
    )


def _vault(client: Client) -> Configuration:
    """Vault is told by a second document of its configurer: `components/identity/vault_sso.py`."""
    del client
    return Configuration()


def _from(client: Client, key: str) -> dict[str, Any]:
    """The `valueFrom` of a variable that takes a key of the client's Secret."""
    return {"secretKeyRef": {"name": client.secret, "key": key}}


SERVICES = (
    Service(
        slug="gitea",
        title="Gitea",
        namespace="gitea",
        host="git",
        callbacks=(f"/user/oauth2/{_PROVIDER}/callback",),
        groups={"gitea-admins": "administrator", "gitea-users": "user"},
        configuration=_gitea,
        origin=NAMESPACE,
    ),
    Service(
        slug="harbor",
        title="Harbor",
        namespace="harbor",
        host="registry",
        callbacks=("/c/oidc/callback",),
        groups={"harbor-admins": "administrator", "harbor-users": "user"},
        configuration=_harbor,
        origin=NAMESPACE,
        # With it Harbor renews what it knows of a user whose docker client logs in by a secret of Harbor's own.
        scopes=("openid", "profile", "email", "offline_access"),
    ),
    Service(
        slug="matrix",
        title="Matrix",
        namespace="matrix",
        host="chat",
        callbacks=("/_synapse/client/oidc/callback",),
        groups={"matrix-users": "user"},
        configuration=_matrix,
        origin=NAMESPACE,
    ),
    Service(
        slug="grafana",
        title="Grafana",
        namespace="monitoring",
        host="grafana",
        callbacks=("/login/generic_oauth",),
        groups={"grafana-admins": "Admin", "grafana-editors": "Editor", "grafana-users": "Viewer"},
        configuration=_grafana,
        origin=NAMESPACE,
    ),
    Service(
        slug="inventree",
        title="InvenTree",
        namespace="inventree",
        host="inventree",
        callbacks=(f"/accounts/oidc/{_PROVIDER}/login/callback/",),
        groups={"inventree-admins": "admin", "inventree-users": "reader"},
        configuration=_inventree,
        origin=NAMESPACE,
    ),
    Service(
        slug="vault",
        title="Vault",
        namespace=VAULT_NAMESPACE,
        host="vault",
        # The second one is the command `vault login -method=oidc` on the user's machine.
        callbacks=("/ui/vault/auth/oidc/oidc/callback", "http://localhost:8250/oidc/callback"),
        groups={"vault-admins": PEOPLE_ADMIN, "vault-users": PEOPLE_READER},
        configuration=_vault,
        # Vault's own namespace reads it a second time, in the form that Vault's configurer wants. Authentik's copy
        # comes with a file for Authentik, which belongs to a later phase than that of all others.
        origin=VAULT_NAMESPACE,
    ),
)
"""In the order in which they come up; Vault's provider is made last, in a phase of its own."""

VAULT = SERVICES[-1]


BLUEPRINT = "blueprint.yaml"
"""Key of a Secret with a file for Authentik."""


def groups() -> list[str]:
    """Every group that there is."""
    return sorted({*OTHER_GROUPS, *(group for service in SERVICES for group in service.groups)})


def authority(domain: str) -> str:
    """Authentik's host name."""
    return f"{AUTHORITY}.{domain}"


def others() -> list[Service]:
    """Every service but Vault."""
    return [service for service in SERVICES if service is not VAULT]


def variable(service: Service) -> str:
    """What stands for a service's client secret in the file that has several of them."""
    return service.slug.replace("-", "_")


def platform_blueprint(domain: str, users: Sequence[User]) -> Blueprint:
    """People, groups, and every service but Vault: all that needs nothing but Authentik."""
    return Blueprint(
        name="Homelab",
        entries=(
            *directory(groups(), users),
            *(
                entry
                for service in others()
                for entry in service.entries(domain, f"{{{{ .{variable(service)} }}}}", within=True)
            ),
        ),
    )


def vault_blueprint(domain: str) -> Blueprint:
    """Vault, which is applied when all of `platform_blueprint` is there."""
    return Blueprint(name="Homelab: Vault", entries=VAULT.entries(domain, FILLED_IN, within=False))


def credentials(service: Service, domain: str) -> SecretSpec:
    """The Secret of a service's client."""
    files = {BLUEPRINT: vault_blueprint(domain).text()} if service is VAULT else {}
    return service.credentials(domain, authority(domain), files)
