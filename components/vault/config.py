"""What is inside Vault: engines, auth methods, policies and the audit device, as one document for the configurer.

Owns no resource; pure Python. Vault's server is `vault.py`. bank-vaults applies the document and never removes what
an earlier one made. It merges a second document (OIDC, once there is a provider) into the first *by position in
each list*, so that a second list of auth methods alone would give the roles of one method to another: `Addition`
repeats the first document's auth methods before its own. Measured with bank-vaults 1.33.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.vault.auth import KubernetesAuth
from components.vault.oidc import ExternalGroup, OidcAuth
from components.vault.policy import KvEngine, Policy, checked_name, duplicates

STDOUT = "stdout"
"""As the path of an audit file: Vault writes to its own standard output."""


@dataclass(frozen=True, kw_only=True)
class AuditDevice:
    """A file that gets one JSON line for each request and answer, with every secret in it hashed.

    Vault serves no request while it can write to none of its devices. An existing device never changes: bank-vaults
    only checks whether its path exists, so another file needs another path.
    """

    path: str = STDOUT
    file_path: str = STDOUT

    def __post_init__(self) -> None:
        checked_name("audit device", self.path)

    def document(self) -> dict[str, Any]:
        """The entry of the configurer's `audit`."""
        return {
            "type": "file",
            "path": self.path,
            "description": f"every request, to {self.file_path}",
            "options": {"file_path": self.file_path},
        }


@dataclass(frozen=True, kw_only=True)
class VaultConfiguration:
    """The first document: all of Vault that needs nothing outside the cluster's core."""

    audit: tuple[AuditDevice, ...]
    engines: tuple[KvEngine, ...]
    auth: tuple[KubernetesAuth, ...]
    policies: tuple[Policy, ...]

    def __post_init__(self) -> None:
        if not self.audit:
            raise ValueError("audit: without a device nothing records who read a secret; add AuditDevice()")
        for kind, names in (
            ("audit device", [device.path for device in self.audit]),
            ("engine", [engine.path for engine in self.engines]),
            ("auth method", [method.path for method in self.auth]),
            ("policy", [policy.name for policy in self.policies]),
        ):
            if repeated := duplicates(names):
                raise ValueError(f"{kind} {repeated[0]!r} appears twice and the second would win; rename or merge them")
        _check_roles(self.auth, self.policy_names)
        for policy in self.policies:
            policy.check_paths([engine.path for engine in self.engines], [method.path for method in self.auth])

    @property
    def policy_names(self) -> set[str]:
        """Policies that a role or a group may name, Vault's own `default` among them."""
        return {"default", *(policy.name for policy in self.policies)}

    def document(self) -> dict[str, Any]:
        """The `externalConfig` of the Vault custom resource."""
        return {
            "audit": [device.document() for device in self.audit],
            "auth": [method.document() for method in self.auth],
            "policies": [policy.document() for policy in self.policies],
            "secrets": [engine.document() for engine in self.engines],
        }


@dataclass(frozen=True, kw_only=True)
class Addition:
    """A document that is applied beside `first`, in any order, by the same configurer.

    It holds auth methods and groups. Policies and engines are always in the first document, which needs no provider.
    """

    first: VaultConfiguration
    auth: tuple[OidcAuth, ...]
    groups: tuple[ExternalGroup, ...]

    def __post_init__(self) -> None:
        paths = [method.path for method in self._methods]
        if repeated := duplicates(paths):
            raise ValueError(f"auth method {repeated[0]!r} is in both documents; give the second a path of its own")
        if repeated := duplicates([group.name for group in self.groups]):
            raise ValueError(f"group {repeated[0]!r} appears twice and the second would win; merge them")
        known = self.first.policy_names
        _check_roles(self.auth, known)
        for group in self.groups:
            _check_policies(f"group {group.name!r}", group.policies, known)
            if group.mount not in [method.path for method in self.auth]:
                raise ValueError(
                    f"group {group.name!r}: {group.mount!r} is not an auth method of this document; "
                    f"choose from {', '.join(method.path for method in self.auth)}"
                )

    @property
    def _methods(self) -> list[KubernetesAuth | OidcAuth]:
        return [*self.first.auth, *self.auth]

    def document(self) -> dict[str, Any]:
        """The content of `vault-config.yml` in a Secret that the operator hands to the configurer."""
        return {
            "auth": [method.document() for method in self._methods],
            "groups": [group.document() for group in self.groups],
            "group-aliases": [group.alias() for group in self.groups],
        }


def _check_roles(methods: Sequence[KubernetesAuth | OidcAuth], known: set[str]) -> None:
    for method in methods:
        for role in method.roles:
            _check_policies(f"role {role.name!r} of auth {method.path!r}", role.policies, known)


def _check_policies(what: str, policies: Sequence[str], known: set[str]) -> None:
    for policy in policies:
        if policy not in known:
            raise ValueError(
                f"{what}: policy {policy!r} does not exist, and Vault would not say so; "
                f"choose from {', '.join(sorted(known))}"
            )
