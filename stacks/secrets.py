"""The secrets layer: SealedSecrets for secrets in git, Vault for generated ones, and their delivery to workloads."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_tls as tls

from components.kit.chart import ChartSource
from components.kit.references import VaultLogin
from components.network import nginx_ingress
from components.secrets import external_secrets, sealing_key
from components.secrets.sealed_secrets import SealedSecrets, SealedSecretsArgs
from components.talos.releases import minor_version
from components.vault import clients as vault_clients
from components.vault.operator import VaultOperator, VaultOperatorArgs
from components.vault.vault import Vault, VaultArgs
from stacks import secret_store, sso
from stacks.application_secrets import GIVEN, SECRETS, namespaces
from stacks.ingress import IngressLayer
from stacks.network import NetworkLayer
from stacks.secret_store import SecretStore
from stacks.settings.credentials import Credentials
from stacks.settings.model import Settings
from stacks.site import SiteLayer
from stacks.storage import StorageLayer

QUORUM_NODES = 3
"""The number of nodes from which three Vault servers can each run on their own node."""

MUTATING_POLICIES = (1, 36)
"""The first Kubernetes release whose API server has MutatingAdmissionPolicy in v1."""


@dataclass(frozen=True)
class SecretsLayer:
    """What later layers need from secrets."""

    sealed: SealedSecrets
    vault: Vault
    store: SecretStore


def deploy(
    settings: Settings,
    credentials: Credentials,
    *,
    site: SiteLayer,
    network: NetworkLayer,
    ingress: IngressLayer,
    storage: StorageLayer,
) -> SecretsLayer:
    """Deploy Vault, then External Secrets, which proves its access to Vault; SealedSecrets is independent of both."""
    vault = _vault(settings, network=network, ingress=ingress, storage=storage)
    store = secret_store.deploy(settings, network=network, issuer=ingress.ca.issuer, login=_login(vault))
    return SecretsLayer(_sealed(settings, credentials, site=site, network=network), vault, store)


def _sealed(settings: Settings, credentials: Credentials, *, site: SiteLayer, network: NetworkLayer) -> SealedSecrets:
    if settings.sealing.certificate is not None and credentials.sealing_key is not None:
        keypair = sealing_key.given(settings.sealing.certificate, credentials.sealing_key)
    else:
        # Not deleted with the VMs: it exists only in the state.
        provider = tls.Provider("tls", opts=pulumi.ResourceOptions(depends_on=[site.provider]))
        made = sealing_key.SealingKey("sealing-key", opts=pulumi.ResourceOptions(providers=[provider]))
        keypair = made.keypair
    return SealedSecrets(
        "sealed-secrets",
        SealedSecretsArgs(
            charts=ChartSource(settings.charts.mirror), kubeconfig=network.cluster.talos.kubeconfig, keypair=keypair
        ),
        opts=network.inside(),
    )


def _vault(settings: Settings, *, network: NetworkLayer, ingress: IngressLayer, storage: StorageLayer) -> Vault:
    operator = VaultOperator(
        "vault-operator",
        VaultOperatorArgs(
            charts=ChartSource(settings.charts.mirror),
            kubeconfig=network.cluster.talos.kubeconfig,
            admission_policies=minor_version(settings.versions.kubernetes) >= MUTATING_POLICIES,
        ),
        opts=network.inside(),
    )
    return Vault(
        "vault",
        VaultArgs(
            operator=operator,
            issuer=ingress.ca.issuer,
            storage=storage.default,
            callers=[external_secrets.PODS, nginx_ingress.PODS],
            configuration=vault_clients.platform_configuration(
                namespaces(SECRETS, GIVEN), vault_clients.VAULT_NAMESPACE
            ),
            size=3 if len(settings.nodes) >= QUORUM_NODES else 1,
            # Vault contacts the identity provider at the address that people use, even before public DNS knows it.
            host_aliases={sso.authority(settings.cluster.domain): ingress.nginx.address},
        ),
        opts=network.inside(),
    )


def _login(vault: Vault) -> VaultLogin:
    return VaultLogin(
        server=vault.resource.address,
        authority=vault.certificate_authority,
        auth_path=vault_clients.AUTH_PATH,
        role=vault_clients.EXTERNAL_SECRETS,
        audience=vault_clients.AUDIENCE,
        service_account=vault_clients.CLIENT,
        mount=vault_clients.SECRETS.path,
        ready=vault.ready,
    )
