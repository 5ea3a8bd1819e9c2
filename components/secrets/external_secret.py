"""What all ExternalSecrets of the program have in common: they follow Vault, and keep what they have when it is away.

Owns the form of their `spec`, and no resource: each component makes its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi

from components.secrets.vault_store import VaultStore

API: Final = "external-secrets.io/v1"

REFRESH: Final = "1h0m0s"
"""How often Vault is read; an ExternalSecret that is changed reads it at once."""

TIMEOUTS: Final = pulumi.CustomTimeouts(create="5m", update="5m", delete="2m")
"""Of an object of External Secrets, most of which are there when an `up` has made them."""


def following(
    store: VaultStore,
    name: str,
    values: Mapping[str, tuple[str, str]],
    *,
    template: Mapping[str, Any] | None = None,
    refresh: str = REFRESH,
    salted: bool = False,
) -> dict[str, Any]:
    """The `spec` of an ExternalSecret that keeps the Secret `name` as Vault has it.

    values: path and property in Vault, by the name that the Secret or its template has for the value.
    template: how the Secret is made of them; without one it has them as they are.
    refresh: how often Vault is read, as a duration of Go.
    salted: whether the template gives another text each time. Such a Secret is assembled only when its ExternalSecret
        changes, as at a rotation: otherwise each reading would restart its consumers.
    """
    target: dict[str, Any] = {
        "name": name,
        "creationPolicy": "Owner",
        # A Vault that does not answer must not take the Secret from running workloads.
        "deletionPolicy": "Retain",
    }
    return {
        "refreshPolicy": "OnChange" if salted else "Periodic",
        "refreshInterval": refresh,
        "secretStoreRef": store.reference,
        "target": target if template is None else target | {"template": dict(template)},
        "data": [
            {"secretKey": key, "remoteRef": {"key": path, "property": one}} for key, (path, one) in values.items()
        ],
    }
