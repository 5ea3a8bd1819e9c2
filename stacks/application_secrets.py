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
from components.secrets.secret_spec import OPERATOR_NAMESPACE, GivenSpec, Password, Plain, SecretSpec
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

GITEA_ADMIN = SecretSpec(
    name="gitea-admin",
    namespace=GITEA,
    # The form in which Gitea's chart expects it.
    keys={"username": Plain("platform"), "password": Password(length=48)},
)
"""The account with which the platform itself makes what no setting of Gitea can: the repository and the webhook."""

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
    DeclaredSecret(spec=GITEA_ADMIN, uptake="restart", consumers="Gitea's servers, and the CronJob gitea-hand-over"),
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
