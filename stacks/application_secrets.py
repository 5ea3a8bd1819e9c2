"""Every application secret of the program, as one table.

Owns what there is, where, and how its consumers take a new value. From it come the components (`secret_store.py`), the
namespaces that may use Vault, the names that `homelab:rotation` knows, and what `make rotate` says. Holds no value.
A secret gets its row together with its consumer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from components.dns import powerdns_secrets as powerdns
from components.identity.authentik_secrets import BOOTSTRAP, CONFIGURATION, DATABASE, NAMESPACE
from components.kit.spelling import did_you_mean
from components.secrets.secret_spec import OPERATOR_NAMESPACE, Password, SecretSpec
from stacks import sso

Uptake = Literal["nothing", "restart", "procedure"]
"""How a new value gets into use: there is nothing to do; Reloader restarts the consumers; or a consumer keeps the
value of its first start, so that somebody follows a procedure."""


@dataclass(frozen=True, kw_only=True)
class DeclaredSecret:
    """A row of the table.

    consumers: who reads it, as the subject of a sentence in the plural.
    procedure: heading in docs/rotation.md, for the uptake of that name alone.
    also_in: further namespaces that get a copy from Reflector.
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
                "uptake 'procedure' needs the heading of one in docs/rotation.md, and no other has any"
            )


STORE_PROBE = "store-probe"
"""Its way into Vault and back proves what the store's own condition cannot: log-in, role, policy and engine."""

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
)


def table(rows: Iterable[DeclaredSecret]) -> Mapping[str, DeclaredSecret]:
    """Rows by name. Raises ValueError when a name is taken twice: `homelab:rotation` knows no namespaces."""
    by_name: dict[str, DeclaredSecret] = {}
    for row in rows:
        if row.spec.name in by_name:
            raise ValueError(f"{row.spec.name!r} is declared twice; names count for the whole program, choose another")
        by_name[row.spec.name] = row
    return MappingProxyType(by_name)


def declared(domain: str) -> Mapping[str, DeclaredSecret]:
    """The whole table; in some of its secrets stand addresses below the platform's domain."""
    return table([*_ROWS, *_sign_on(domain)])


def _sign_on(domain: str) -> Iterator[DeclaredSecret]:
    """A client secret for each service that people sign on to: for the service, and for Authentik."""
    for service in sso.SERVICES:
        spec = sso.credentials(service, domain)
        yield DeclaredSecret(
            spec=spec,
            uptake="restart",
            consumers=f"Authentik's workers and {service.title}",
            also_in=tuple(sorted({NAMESPACE, service.namespace} - {spec.namespace})),
        )


SECRETS: Mapping[str, DeclaredSecret] = declared("invalid")
"""The table for whoever needs names, places and uptake alone; its addresses are those of no platform."""


def namespaces(secrets: Mapping[str, DeclaredSecret]) -> list[str]:
    """The namespaces that have secrets in Vault, sorted."""
    return sorted({row.spec.namespace for row in secrets.values()})


def unknown(name: str, secrets: Mapping[str, DeclaredSecret]) -> str | None:
    """What is wrong with a name, and the remedy; None if there is such a secret."""
    if name in secrets:
        return None
    remedy = did_you_mean(name, secrets) or f"there are {', '.join(sorted(secrets))}"
    return f"{name!r} is no application secret; {remedy}"
