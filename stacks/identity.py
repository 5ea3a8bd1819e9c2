"""The identity layer: Authentik with its database, and people's access to Vault through it.

Vault needs Authentik to sign people on, and Authentik needs Vault for its secrets. The cycle is broken into phases:

1. Vault without people, and the secret store on it: the secrets layer, `secrets.py`.
2. Authentik, with people, groups and every service except Vault: `_authentik`.
3. Vault's client in Authentik and, once Authentik answers for it, Vault's OIDC method: `_vault_sign_on`.
4. The services, deployed by Flux: each finds a Secret in its namespace with what its chart needs.

Each phase waits for proof from the one before it (a condition, a Job), never for a fixed time. If a phase fails, only
what needs it fails too: no resource of phase 2 depends on phase 3, on a certificate or on DNS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from components.certificates.certificate import Certificate, CertificateArgs
from components.database import postgres_backup
from components.database.cloudnative_pg import CloudNativePg, CloudNativePgArgs
from components.database.postgres import Postgres, PostgresArgs
from components.database.postgres_backup import PostgresBackup, PostgresBackupArgs
from components.identity import authentik as authentik_servers
from components.identity import oidc_probe
from components.identity.authentik import Authentik, AuthentikArgs, BlueprintFile
from components.identity.authentik_home import AuthentikHome, AuthentikHomeArgs
from components.identity.authentik_secrets import BOOTSTRAP, CONFIGURATION, DATABASE, NAMESPACE
from components.identity.directory import User
from components.identity.oidc_probe import OidcProbe, OidcProbeArgs
from components.identity.proxied_entry import ProxiedEntry, ProxiedEntryArgs
from components.identity.sso import CLIENT_SECRET, Service
from components.identity.vault_sso import CLUSTER_AUTHORITY, DOCUMENT, sign_on, text
from components.kit.chart import ChartSource
from components.kit.references import IssuerReference
from components.secrets.application_secret import ApplicationSecret
from components.secrets.assembled_secret import AssembledSecret, AssembledSecretArgs
from components.secrets.public_copy import PublicCopy, PublicCopyArgs
from components.vault.clients import VAULT_NAMESPACE
from components.vault.entry import VaultEntry, VaultEntryArgs
from stacks import sso
from stacks.ingress import IngressLayer
from stacks.network import NetworkLayer
from stacks.proxied import PROXIED
from stacks.secrets import SecretsLayer
from stacks.settings.model import Settings
from stacks.storage import StorageLayer

_BLUEPRINTS = "authentik-blueprints"
"""Secret with the blueprint for everything except Vault."""


@dataclass(frozen=True)
class IdentityLayer:
    """What later layers need from identity."""

    authentik: Authentik


def deploy(
    settings: Settings,
    *,
    network: NetworkLayer,
    ingress: IngressLayer,
    storage: StorageLayer,
    secrets: SecretsLayer,
    issuer: IssuerReference,
) -> IdentityLayer:
    """Deploy Authentik with every service in it, and single sign-on for Vault.

    issuer: issues the certificates that people's browsers verify.
    """
    databases = CloudNativePg(
        "cloudnative-pg",
        CloudNativePgArgs(charts=ChartSource(settings.charts.mirror), schedulable=settings.schedulable),
        opts=network.inside(),
    )
    home = AuthentikHome(
        "authentik-home",
        AuthentikHomeArgs(secrets=partial(secrets.store.in_namespace, NAMESPACE)),
        opts=network.inside(),
    )
    certificate = Certificate(
        "authentik-certificate",
        CertificateArgs(
            namespace=NAMESPACE,
            secret_name="authentik-tls",  # noqa: S106 - the name of a Secret
            dns_names=[sso.authority(settings.cluster.domain)],
            issuer=issuer,
        ),
        opts=network.inside(home.namespace),
    )
    database = _database(settings, home.secrets, network=network, storage=storage, operator=databases)
    authentik = _authentik(settings, home.secrets, database, network=network, ingress=ingress, certificate=certificate)
    _proxied(settings, authentik, network=network, ingress=ingress)
    services = OidcProbe(
        "authentik-services",
        OidcProbeArgs(issuers=[_issuer(settings, service) for service in sso.others()]),
        opts=network.inside(authentik.ready),
    )
    _private_authority(settings, home.secrets, network=network, secrets=secrets, certificate=certificate)
    _vault_sign_on(settings, services, network=network, ingress=ingress, secrets=secrets, certificate=certificate)
    VaultEntry(
        "vault-entry",
        VaultEntryArgs(
            vault=secrets.vault,
            host=f"{sso.VAULT.host}.{settings.cluster.domain}",
            ingress=ingress.nginx,
            issuer=issuer,
        ),
        opts=network.inside(),
    )
    return IdentityLayer(authentik)


def _proxied(settings: Settings, authentik: Authentik, *, network: NetworkLayer, ingress: IngressLayer) -> None:
    """The way to applications before which Authentik stands."""
    if PROXIED:
        ProxiedEntry(
            "proxied",
            ProxiedEntryArgs(authentik=authentik, ingress=ingress.nginx, rows=PROXIED, domain=settings.cluster.domain),
            opts=network.inside(),
        )


def _private_authority(
    settings: Settings,
    made: Mapping[str, ApplicationSecret],
    *,
    network: NetworkLayer,
    secrets: SecretsLayer,
    certificate: Certificate,
) -> None:
    """Where no public authority signs the certificate: what the services trust instead, in each one's namespace."""
    if settings.private_authority:
        PublicCopy(
            sso.PRIVATE_AUTHORITY.secret,
            PublicCopyArgs(
                name=sso.PRIVATE_AUTHORITY.secret,
                source=certificate.ca,
                anchor=made[sso.others()[0].secret].value(CLIENT_SECRET),
                mirror=secrets.store.reflector.into(*(service.namespace for service in sso.others())),
            ),
            opts=network.inside(),
        )


def people(settings: Settings) -> list[User]:
    """The users from the settings, in the form given to Authentik."""
    return [
        User(
            username=username,
            email=user.email,
            name=user.name or username,
            groups=tuple(user.groups),
            active=user.active,
        )
        for username, user in sorted(settings.identity.users.items())
    ]


def _issuer(settings: Settings, service: Service) -> str:
    domain = settings.cluster.domain
    return service.client(domain, sso.authority(domain)).issuer


def _database(
    settings: Settings,
    application_secrets: Mapping[str, ApplicationSecret],
    *,
    network: NetworkLayer,
    storage: StorageLayer,
    operator: CloudNativePg,
) -> Postgres:
    database = Postgres(
        "authentik-postgres",
        PostgresArgs(
            operator=operator,
            spec=DATABASE,
            owner=application_secrets[DATABASE.name],
            database="authentik",
            storage=storage.default,
            size="8Gi",
            schedulable=settings.schedulable,
            callers=[authentik_servers.PODS, postgres_backup.PODS],
            # Authentik also keeps its queue, cache and sessions here, and runs two pods of each kind.
            connections=200,
        ),
        opts=network.inside(),
    )
    PostgresBackup(
        "authentik-postgres-backup",
        PostgresBackupArgs(database=database, storage=storage.default, size="5Gi"),
        opts=network.inside(),
    )
    return database


def _authentik(
    settings: Settings,
    application_secrets: Mapping[str, ApplicationSecret],
    database: Postgres,
    *,
    network: NetworkLayer,
    ingress: IngressLayer,
    certificate: Certificate,
) -> Authentik:
    """Phase 2. The blueprint exists before the first start, which applies what it finds."""
    domain = settings.cluster.domain
    blueprints = AssembledSecret(
        _BLUEPRINTS,
        AssembledSecretArgs(
            name=_BLUEPRINTS,
            values={
                sso.variable(service): application_secrets[service.secret].value(CLIENT_SECRET)
                for service in sso.others()
            },
            files={sso.BLUEPRINT: sso.platform_blueprint(domain, people(settings)).text()},
        ),
        opts=network.inside(),
    )
    return Authentik(
        "authentik",
        AuthentikArgs(
            charts=ChartSource(settings.charts.mirror),
            host=sso.authority(domain),
            database=database,
            environment={
                key: application_secrets[spec.name].reference(key)
                for spec in (CONFIGURATION, BOOTSTRAP)
                for key in spec.keys
            },
            blueprints=(
                BlueprintFile(name="homelab", secret=_BLUEPRINTS, key=sso.BLUEPRINT),
                BlueprintFile(name="homelab-vault", secret=sso.VAULT.secret, key=sso.BLUEPRINT),
            ),
            ingress=ingress.nginx,
            certificate=certificate,
            schedulable=settings.schedulable,
            callers=[oidc_probe.PODS],
        ),
        opts=network.inside(blueprints.reference(sso.BLUEPRINT).ready),
    )


def _vault_sign_on(
    settings: Settings,
    services: OidcProbe,
    *,
    network: NetworkLayer,
    ingress: IngressLayer,
    secrets: SecretsLayer,
    certificate: Certificate,
) -> None:
    """Phase 3. Vault's document waits until Authentik answers for Vault, asked in the same way as Vault will ask.

    With a public certificate that is up to the world, for which no `up` waits: Vault's configurer gets the document at
    once, and tries it again every minute until Authentik has its certificate and answers.

    """
    domain = settings.cluster.domain
    authority = sso.authority(domain)
    client = secrets.store.in_namespace(VAULT_NAMESPACE, services.ready)[sso.VAULT.secret]
    ready = client.reference(sso.BLUEPRINT).ready
    if certificate.awaited:
        answer = OidcProbe(
            "authentik-vault",
            OidcProbeArgs(
                issuers=[_issuer(settings, sso.VAULT)],
                through_ingress=True,
                addresses={authority: ingress.nginx.address},
                authority=certificate.ca if settings.private_authority else None,
            ),
            opts=network.inside(ready, certificate.ready, ingress.nginx.ready),
        )
        ready = answer.ready
    document = sign_on(
        sso.VAULT,
        domain,
        authority,
        first=secrets.vault.configuration,
        discovery_ca=CLUSTER_AUTHORITY if settings.private_authority else None,
    )
    AssembledSecret(
        "vault-sign-on",
        AssembledSecretArgs(
            name="vault-sign-on",
            values={CLIENT_SECRET: client.value(CLIENT_SECRET)},
            files={DOCUMENT: text(document)},
            labels=secrets.vault.resource.configurer_labels,
        ),
        opts=network.inside(ready),
    )
