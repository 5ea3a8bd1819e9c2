"""Every application secret of the program, as two tables: what is generated, and what a person gives.

Owns which secrets exist, where, and how their consumers adopt a new value. The components (`secret_store.py`), the
namespaces that may use Vault, the names that `homelab:rotation`, `make rotate` and `make give` know are derived from
them. Contains no values. A secret's row is added together with its consumer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from components.dns import powerdns_secrets as powerdns
from components.identity.authentik_secrets import BOOTSTRAP, CONFIGURATION, DATABASE, NAMESPACE
from components.kit.spelling import did_you_mean
from components.secrets.secret_spec import OPERATOR_NAMESPACE, GivenSpec, Hex, Password, Plain, SecretSpec
from stacks import sso

Uptake = Literal["nothing", "restart", "procedure"]
"""How a new value takes effect: nothing needs to happen; Reloader restarts the consumers; or a consumer keeps the value
from its first start, so that somebody has to follow a procedure."""


@dataclass(frozen=True, kw_only=True)
class DeclaredSecret:
    """A row of the table.

    consumers: who reads it, as the subject of a sentence in the plural.
    procedure: heading in docs/rotation.md, set only if the uptake is 'procedure'.
    also_in: additional namespaces that get a copy from Reflector.
    """

    spec: SecretSpec
    uptake: Uptake
    consumers: str
    procedure: str | None = None
    also_in: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.uptake == "procedure") != (self.procedure is not None):
            raise ValueError(
                f"procedure: {self.procedure!r} does not go with uptake {self.uptake!r} of {self.spec.name}; the "
                "uptake 'procedure' needs a heading in docs/rotation.md, and no other uptake may have one"
            )


@dataclass(frozen=True, kw_only=True)
class GivenByAPerson:
    """A row of the table of secrets that a person gives. None of them is needed for an `up`.

    consumers: who reads it, as the subject of a sentence in the plural; they do without while it is not there.
    """

    spec: GivenSpec
    consumers: str


STORE_PROBE = "store-probe"
"""Its round trip through Vault proves what the store's own condition cannot: login, role, policy and engine."""

GITEA = sso.GITEA.namespace
"""The namespace of Gitea, which Flux fills."""

GITEA_DATABASE = SecretSpec(
    name="gitea-database",
    namespace=GITEA,
    # The form in which CloudNativePG expects a database's owner. With the label it sets a changed password at once.
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("gitea"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

HARBOR = sso.HARBOR.namespace
"""The namespace of Harbor, which Flux fills."""

HARBOR_DATABASE = SecretSpec(
    name="harbor-database",
    namespace=HARBOR,
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("harbor"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

HARBOR_PARTS = SecretSpec(
    name="harbor-parts",
    namespace=HARBOR,
    # As long as the chart says, and by the names under which it looks for them.
    keys={
        "secret": Password(length=16),
        "JOBSERVICE_SECRET": Password(length=16),
        "REGISTRY_HTTP_SECRET": Password(length=16),
        "CSRF_KEY": Password(length=32),
    },
)
"""What Harbor's parts know each other by."""

HARBOR_KEY = SecretSpec(name="harbor-key", namespace=HARBOR, keys={"secretKey": Password(length=16)})
"""With it Harbor encrypts secrets in its database (AES, hence the length)."""

HARBOR_REGISTRY_LOGIN = SecretSpec(
    name="harbor-registry-login",
    namespace=HARBOR,
    keys={"REGISTRY_PASSWD": Password()},
    # The registry takes bcrypt alone: https://distribution.github.io/distribution/about/configuration/#htpasswd
    # `htpasswd` would do, but releases of the operator differ in how many arguments it has.
    derived={"REGISTRY_HTPASSWD": "harbor_registry_user:{{ .REGISTRY_PASSWD | bcrypt }}"},
)
"""With which Harbor's core signs on to the registry behind it; the user's name is a default of the chart."""

HARBOR_ADMIN = SecretSpec(name="harbor-admin", namespace=HARBOR, keys={"HARBOR_ADMIN_PASSWORD": Password()})

HARBOR_ROBOT = SecretSpec(name="harbor-robot", namespace=HARBOR, keys={"secret": Password()})
"""Of the account for pushes; Harbor's setup gives it to Harbor (gitops/harbor/setup)."""

MATRIX = sso.MATRIX.namespace
"""The namespace of Matrix, which Flux fills."""

MATRIX_DATABASE = SecretSpec(
    name="matrix-database",
    namespace=MATRIX,
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("synapse"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

MATRIX_ACCOUNTS_DATABASE = SecretSpec(
    name="matrix-accounts-database",
    namespace=MATRIX,
    type="kubernetes.io/basic-auth",
    keys={"username": Plain("accounts"), "password": Password(length=48)},
    labels={"cnpg.io/reload": "true"},
)

MATRIX_PARTS = SecretSpec(
    name="matrix-parts",
    namespace=MATRIX,
    keys={"macaroon": Password(), "registration": Password(), "synapse": Password()},
)
"""What Synapse and the Matrix Authentication Service know each other by, and what Synapse signs for itself."""

MATRIX_SIGNING_KEY = SecretSpec(
    name="matrix-signing-key",
    namespace=MATRIX,
    keys={"seed": Password()},
    # Algorithm, name of the key, and its seed of 32 bytes in Base64 without padding:
    # https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html#signing_key_path
    derived={"signing.key": 'ed25519 a_vault {{ .seed | b64enc | trimSuffix "=" }}'},
)
"""With which the homeserver signs its events; other servers know it by it."""

MATRIX_ENCRYPTION = SecretSpec(name="matrix-encryption", namespace=MATRIX, keys={"encryption": Hex()})
"""With it the Matrix Authentication Service encrypts secrets in its database: 32 bytes, as hexadecimal digits."""

_ROWS = (
    DeclaredSecret(
        spec=SecretSpec(name=STORE_PROBE, namespace=OPERATOR_NAMESPACE, keys={"value": Password()}),
        uptake="nothing",
        consumers="nobody; it only proves that Vault can be written and read",
    ),
    DeclaredSecret(spec=DATABASE, uptake="restart", consumers="Authentik's servers and workers, after the database"),
    DeclaredSecret(spec=CONFIGURATION, uptake="restart", consumers="Authentik's servers and workers"),
    DeclaredSecret(
        spec=BOOTSTRAP,
        uptake="procedure",
        consumers="Authentik's administrator akadmin",
        procedure="Authentik's first administrator",
    ),
    DeclaredSecret(
        spec=powerdns.DATABASE_SECRET,
        uptake="restart",
        consumers="MariaDB and the name servers of PowerDNS",
    ),
    DeclaredSecret(
        spec=powerdns.API_SECRET,
        uptake="restart",
        consumers="the name servers of PowerDNS, PowerDNS Operator, external-dns and cert-manager's webhook",
        also_in=powerdns.API_CLIENTS,
    ),
    DeclaredSecret(spec=GITEA_DATABASE, uptake="restart", consumers="Gitea's servers, after the database"),
    DeclaredSecret(spec=HARBOR_DATABASE, uptake="restart", consumers="Harbor's core and jobs, after the database"),
    DeclaredSecret(spec=HARBOR_PARTS, uptake="restart", consumers="Harbor's core, jobs and registry"),
    DeclaredSecret(spec=HARBOR_REGISTRY_LOGIN, uptake="restart", consumers="Harbor's core, jobs and registry"),
    DeclaredSecret(
        spec=HARBOR_KEY,
        uptake="procedure",
        consumers="secrets in Harbor's database",
        procedure="Harbor's encryption key",
    ),
    DeclaredSecret(
        spec=HARBOR_ADMIN,
        uptake="procedure",
        consumers="Harbor's administrator admin and Harbor's setup",
        procedure="Harbor's administrator",
    ),
    DeclaredSecret(
        spec=HARBOR_ROBOT,
        uptake="procedure",
        consumers="whoever pushes images, and Harbor's setup",
        procedure="Harbor's robot account",
    ),
    DeclaredSecret(spec=MATRIX_DATABASE, uptake="restart", consumers="Synapse, after the database"),
    DeclaredSecret(
        spec=MATRIX_ACCOUNTS_DATABASE,
        uptake="restart",
        consumers="the Matrix Authentication Service, after the database",
    ),
    DeclaredSecret(spec=MATRIX_PARTS, uptake="restart", consumers="Synapse and the Matrix Authentication Service"),
    DeclaredSecret(
        spec=MATRIX_SIGNING_KEY,
        uptake="procedure",
        consumers="Synapse, and every server that knows its key",
        procedure="Matrix's signing key",
    ),
    DeclaredSecret(
        spec=MATRIX_ENCRYPTION,
        uptake="procedure",
        consumers="secrets in the database of the Matrix Authentication Service",
        procedure="Matrix's encryption key",
    ),
)

GIVEN: Mapping[str, GivenByAPerson] = MappingProxyType(
    {
        row.spec.name: row
        for row in (
            GivenByAPerson(
                spec=GivenSpec(
                    name="gitea-mail",
                    namespace=GITEA,
                    keys={
                        "server": "host name of the mail server",
                        "user": "with which Gitea signs on there",
                        "password": "of that user",
                    },
                ),
                consumers="Gitea's servers, which send no mail without it",
            ),
        )
    }
)
"""Every secret that a person gives, by name."""


def table(rows: Iterable[DeclaredSecret]) -> Mapping[str, DeclaredSecret]:
    """Rows by name. Raises ValueError if a name is used twice: `homelab:rotation` does not distinguish namespaces."""
    by_name: dict[str, DeclaredSecret] = {}
    for row in rows:
        if row.spec.name in by_name:
            raise ValueError(
                f"{row.spec.name!r} is declared twice; names must be unique in the whole program, choose another"
            )
        by_name[row.spec.name] = row
    return MappingProxyType(by_name)


def declared(domain: str, *, private: bool) -> Mapping[str, DeclaredSecret]:
    """The whole table; some of its secrets contain addresses under the platform's domain.

    private: whether the cluster's own authority signs the certificates that services verify.
    """
    return table([*_ROWS, *_sign_on(domain, private)])


def _sign_on(domain: str, private: bool) -> Iterator[DeclaredSecret]:
    """A client secret for each service that people sign on to, shared by the service and Authentik."""
    for service in sso.SERVICES:
        spec = sso.credentials(service, domain, private=private)
        yield DeclaredSecret(
            spec=spec,
            uptake="restart",
            consumers=f"Authentik's workers and {service.title}",
            also_in=tuple(sorted({NAMESPACE, service.namespace} - {spec.namespace})),
        )


SECRETS: Mapping[str, DeclaredSecret] = declared("invalid", private=False)
"""The table for code that needs only names, locations and uptake; its addresses are placeholders."""


def namespaces(secrets: Mapping[str, DeclaredSecret], given: Mapping[str, GivenByAPerson]) -> list[str]:
    """The namespaces with secrets in Vault, sorted."""
    places = [row.spec.namespace for row in secrets.values()] + [row.spec.namespace for row in given.values()]
    return sorted(set(places))


def unknown(name: str, secrets: Iterable[str]) -> str | None:
    """What is wrong with a name, and the remedy; None if such a secret exists."""
    known = sorted(secrets)
    if name in known:
        return None
    remedy = did_you_mean(name, known) or f"choose one of {', '.join(known)}"
    return f"{name!r} is not an application secret; {remedy}"
