"""Layer 5, secrets: Vault, which keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.chart import ChartSource
from components.references import IssuerReference, StorageClassReference
from components.vault import Vault, VaultArgs
from components.vault_clients import platform_configuration
from components.vault_operator import VAULT_NAMESPACE, VaultOperator, VaultOperatorArgs
from stacks.network import NetworkLayer
from stacks.settings import Settings

QUORUM_NODES = 3
"""Nodes from which on three servers of Vault find a place each."""

MUTATING_POLICIES = (1, 36)
"""The Kubernetes release from which on the API server has MutatingAdmissionPolicy in v1."""


@dataclass(frozen=True)
class SecretsLayer:
    """What later layers need of it."""

    vault: Vault


def deploy(
    settings: Settings,
    *,
    network: NetworkLayer,
    authority: IssuerReference,
    storage: StorageClassReference,
    application_namespaces: Sequence[str],
) -> SecretsLayer:
    """Vault, into which `application_namespaces` may log in for their own secrets.

    authority: issues certificates of the cluster's own authority.
    """
    operator = VaultOperator(
        "vault-operator",
        VaultOperatorArgs(
            charts=ChartSource(settings.charts.mirror),
            admission_policies=_release(settings.versions.kubernetes) >= MUTATING_POLICIES,
        ),
        opts=network.inside(),
    )
    vault = Vault(
        "vault",
        VaultArgs(
            operator=operator,
            issuer=authority,
            storage=storage,
            configuration=platform_configuration(application_namespaces, VAULT_NAMESPACE),
            size=3 if len(settings.nodes) >= QUORUM_NODES else 1,
        ),
        opts=network.inside(),
    )
    return SecretsLayer(vault)


def _release(version: str) -> tuple[int, int]:
    major, minor, *_ = version.removeprefix("v").split(".")
    return int(major), int(minor)
