"""A Secret with values that a person gives: a token of somebody else's service, the password of a mail server.

Owns, for one `GivenSpec`, the ExternalSecret that reads the values from Vault. Does not own the values: `make give`
puts them there, and nothing here writes to Vault.

No `up` waits for it. A platform whose values nobody has given yet comes up all the same: the ExternalSecret says that
it found nothing, the Secret does not exist, and its consumers name it as optional. It appears once every key was given,
and Reloader restarts those who ask for that.
Must exist before: the namespace and its `VaultAccess`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.secrets.external_secret import API, TIMEOUTS, following
from components.secrets.secret_spec import GivenSpec
from components.secrets.vault_access import VaultAccess

REFRESH: Final = "5m0s"
"""How often Vault is asked. `make give` has it asked at once."""


@dataclass(frozen=True, kw_only=True)
class GivenSecretArgs:
    """Arguments of `GivenSecret`."""

    spec: GivenSpec
    access: VaultAccess

    def __post_init__(self) -> None:
        if self.spec.namespace != self.access.namespace:
            raise ValueError(
                f"access: is that of {self.access.namespace!r}, the secret is for {self.spec.namespace!r}; give the "
                "access of its own namespace, as Vault lets a namespace reach nothing else"
            )


class GivenSecret(pulumi.ComponentResource):
    """One Secret, as soon as its values are in Vault."""

    def __init__(self, name: str, args: GivenSecretArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:GivenSecret", name, None, opts)
        spec, store = args.spec, args.access.store
        CustomResource(
            name,
            api_version=API,
            kind="ExternalSecret",
            # Without an annotation that says what to wait for, an `up` waits for nothing.
            metadata=ObjectMetaArgs(name=spec.name, namespace=spec.namespace),
            spec=following(store, spec.name, {key: (spec.path, key) for key in sorted(spec.keys)}, refresh=REFRESH),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.access.ready, store], custom_timeouts=TIMEOUTS),
        )
        self.register_outputs({"secret": spec.name, "path": spec.path})
