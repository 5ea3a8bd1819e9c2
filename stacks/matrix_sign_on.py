"""What Matrix is told of single sign-on: the longest of the configurations that `stacks/sso.py` has in its table."""

from __future__ import annotations

from typing import Any

import yaml

from components.identity.sso import CLIENT_SECRET, Client, Configuration

PROVIDER = "01JGAHMEAB0000000000000000"
"""The id of Authentik in Matrix's own authentication service: a ULID, part of the callback, and the same for ever."""

CALLBACK = f"/upstream/callback/{PROVIDER}"
"""Where sign-ons return to, at the host of that service."""


def configuration(client: Client) -> Configuration:
    """Chart matrix-stack 26.8: not Synapse signs people on but the Matrix Authentication Service, with one provider.

    Every account is made at the first sign-on, with the name that the person has here; passwords are off. Its fields
    are those of https://github.com/element-hq/matrix-authentication-service/blob/main/docs/config.schema.json. It looks
    for authorities where OpenSSL would, but in the directory only if no file is named, so both are.
    """
    directory = "/sign-on"
    volumes: list[dict[str, Any]] = [
        {
            "name": "sign-on",
            "secret": {"secretName": client.secret, "items": [{"key": CLIENT_SECRET, "path": CLIENT_SECRET}]},
        }
    ]
    mounts: list[dict[str, Any]] = [{"name": "sign-on", "mountPath": directory, "readOnly": True}]
    environment: dict[str, Any] = {}
    if client.private:
        volumes.append(client.private.volume)
        mounts.append(client.private.mount)
        environment = {
            "extraEnv": [
                {"name": "SSL_CERT_FILE", "value": client.private.file},
                {"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs"},
            ]
        }
    provider = {
        "id": PROVIDER,
        "human_name": "Authentik",
        "issuer": client.issuer,
        "client_id": client.slug,
        "client_secret_file": f"{directory}/{CLIENT_SECRET}",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": " ".join(client.scopes),
        "claims_imports": {
            "skip_confirmation": True,
            "localpart": {"action": "require", "template": "{{ user.preferred_username }}"},
            "displayname": {"action": "force", "template": "{{ user.name }}"},
            "email": {"action": "force", "template": "{{ user.email }}"},
        },
    }
    return Configuration(
        values={
            "matrixAuthenticationService": {
                "ingress": {"host": client.callback_address.removeprefix("https://")},
                "additional": {
                    "sign-on": {
                        "config": yaml.safe_dump({"upstream_oauth2": {"providers": [provider]}}, sort_keys=False)
                    }
                },
                "extraVolumes": volumes,
                "extraVolumeMounts": mounts,
                **environment,
            },
            "elementWeb": {"ingress": {"host": client.address.removeprefix("https://")}},
        },
    )
