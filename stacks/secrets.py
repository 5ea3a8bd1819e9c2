"""Layer 5, secrets: Vault, which keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.chart import ChartSource
from components.references import IssuerReference, StorageClassReference, VaultLogin
from components.vault import Vault, VaultArgs
from components.vault_clients import (
    AUDIENCE,
    AUTH_PATH,
    CLIENT,
    EXTERNAL_SECRETS,
    SECRETS,
    VAULT_NAMESPACE,
    platform_configuration,
)
from components.vault_config import VaultConfiguration
from components.vault_operator import VaultOperator, VaultOperatorArgs
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
    configuration: VaultConfiguration
    """What is inside Vault before there is an identity provider."""
    login: VaultLogin
    """How a namespace gets at its secrets."""


def deploy(
    settings: Settings,
    *,
    network: NetworkLayer,
    authority: IssuerReference,
    storage: StorageClassReference,
    application_namespaces: Sequence[str],
    host_aliases: Mapping[str, str],
) -> SecretsLayer:
    """Vault, into which `application_namespaces` may log in for their own secrets.

    authority: issues certificates of the cluster's own authority.
    host_aliases: host name to address, of what Vault calls before DNS knows it: the identity provider.
    """
    operator = VaultOperator(
        "vault-operator",
        VaultOperatorArgs(
            charts=ChartSource(settings.charts.mirror),
            admission_policies=_release(settings.versions.kubernetes) >= MUTATING_POLICIES,
        ),
        opts=network.inside(),
    )
    configuration = platform_configuration(application_namespaces, VAULT_NAMESPACE)
    vault = Vault(
        "vault",
        VaultArgs(
            operator=operator,
            issuer=authority,
            storage=storage,
            configuration=configuration,
            size=3 if len(settings.nodes) >= QUORUM_NODES else 1,
            host_aliases=host_aliases,
        ),
        opts=network.inside(),
    )
    login = VaultLogin(
        server=vault.resource.address,
        authority=vault.certificate_authority,
        auth_path=AUTH_PATH,
        role=EXTERNAL_SECRETS,
        audience=AUDIENCE,
        service_account=CLIENT,
        mount=SECRETS.path,
        ready=vault.ready,
    )
    return SecretsLayer(vault, configuration, login)


def _release(version: str) -> tuple[int, int]:
    major, minor, *_ = version.removeprefix("v").split(".")
    return int(major), int(minor)
