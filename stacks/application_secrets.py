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
from components.gitops import scraping
from components.identity.authentik_secrets import BOOTSTRAP, CONFIGURATION, DATABASE, NAMESPACE
from components.kit.spelling import did_you_mean
from components.secrets.secret_spec import OPERATOR_NAMESPACE, GivenSpec, Password, Plain, SecretSpec
from stacks import matrix_secrets as matrix
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

MONITORING = scraping.NAMESPACE
"""The namespace of Prometheus, Alertmanager and Grafana, which Flux fills."""

INVENTREE = sso.INVENTREE.namespace
BUILD_CACHE = "build-cache"
WEBHOOK_INBOX = "webhook-inbox"
DRIVE_SYNC = "drive-sync"
ACTIVITYWATCH = "activitywatch"
FIRECRAWL = "firecrawl"
"""The namespaces of further applications that have secrets."""


def database_owner(namespace: str) -> SecretSpec:
    """The owner of an application's database, who has the name of its namespace."""
    return SecretSpec(
        name=f"{namespace}-database",
        namespace=namespace,
        # The form in which CloudNativePG expects a database's owner. With the label it sets a changed password at once.
        type="kubernetes.io/basic-auth",
        keys={"username": Plain(namespace), "password": Password(length=48)},
        labels={"cnpg.io/reload": "true"},
    )


def users_at_the_ingress(namespace: str, user: str) -> SecretSpec:
    """One user, in the form in which the ingress controller expects those of a host (`nginx.org/basic-auth-secret`).

    A hash would change at every refresh. NGINX also takes a password as it is
    (https://nginx.org/en/docs/http/ngx_http_auth_basic_module.html), and a random one is not weaker for that.
    """
    return SecretSpec(
        name=f"{namespace}-users",
        namespace=namespace,
        # https://docs.nginx.com/nginx-ingress-controller/configuration/ingress-resources/basic-configuration/
        type="nginx.org/htpasswd",
        keys={"password": Password(length=48)},
        derived={"htpasswd": f"{user}:{{PLAIN}}{{{{ .password }}}}"},
    )


GITEA_DATABASE = database_owner(GITEA)

BUILD_CACHE_USERS = users_at_the_ingress(BUILD_CACHE, "bazel")

FIRECRAWL_USERS = users_at_the_ingress(FIRECRAWL, "firecrawl")

ACTIVITYWATCH_KEY = SecretSpec(
    name="activitywatch-key",
    namespace=ACTIVITYWATCH,
    keys={"key": Password(length=48)},
    # The whole of the server's configuration; each key that is missing has a default (aw-server/src/config.rs).
    derived={"config.toml": '[auth]\napi_key = "{{ .key }}"\n'},
)

GITEA_ADMIN = SecretSpec(
    name="gitea-admin",
    namespace=GITEA,
    # The form in which Gitea's chart expects it.
    keys={"username": Plain("platform"), "password": Password(length=48)},
)
"""The account with which the platform itself makes what no setting of Gitea can: the repository and the webhook."""
HARBOR = sso.HARBOR.namespace
"""The namespace of Harbor, which Flux fills."""

HARBOR_DATABASE = database_owner(HARBOR)

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
    DeclaredSecret(
        spec=database_owner(INVENTREE),
        uptake="restart",
        consumers="InvenTree's servers and workers, after the database",
    ),
    DeclaredSecret(
        # Django's key: with another one, everybody signs on again.
        spec=SecretSpec(name="inventree-key", namespace=INVENTREE, keys={"key": Password(length=64)}),
        uptake="restart",
        consumers="InvenTree's servers and workers",
    ),
    DeclaredSecret(
        spec=BUILD_CACHE_USERS,
        uptake="nothing",
        consumers="the ingress controller, for Bazel's cache, and those who build",
    ),
    DeclaredSecret(
        spec=SecretSpec(name="webhook-inbox-reader", namespace=WEBHOOK_INBOX, keys={"password": Password(length=48)}),
        uptake="restart",
        consumers="the webhook inbox, and those who read it",
    ),
    DeclaredSecret(
        spec=SecretSpec(
            name="drive-sync-crypt",
            namespace=DRIVE_SYNC,
            keys={"password": Password(length=64), "salt": Password(length=64)},
        ),
        uptake="procedure",
        consumers="the copies in Google Drive",
        procedure="Keys of copies in Google Drive",
    ),
    DeclaredSecret(
        spec=ACTIVITYWATCH_KEY, uptake="restart", consumers="ActivityWatch's server, and the watchers of your machines"
    ),
    DeclaredSecret(
        spec=SecretSpec(
            name="firecrawl-database",
            namespace=FIRECRAWL,
            keys={"password": Password(length=48)},
            derived={"url": "postgresql://postgres:{{ .password }}@firecrawl-stores-postgres:5432/postgres"},
        ),
        uptake="restart",
        consumers="Firecrawl's workers, and its database, which keeps nothing",
    ),
    DeclaredSecret(
        spec=FIRECRAWL_USERS,
        uptake="nothing",
        consumers="the ingress controller, for Firecrawl's MCP server, and its clients",
    ),
    DeclaredSecret(spec=GITEA_ADMIN, uptake="restart", consumers="Gitea's servers, and the CronJob gitea-hand-over"),
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
    DeclaredSecret(spec=matrix.DATABASE, uptake="restart", consumers="Synapse, after the database"),
    DeclaredSecret(
        spec=matrix.ACCOUNTS_DATABASE,
        uptake="restart",
        consumers="the Matrix Authentication Service, after the database",
    ),
    DeclaredSecret(spec=matrix.PARTS, uptake="restart", consumers="Synapse and the Matrix Authentication Service"),
    DeclaredSecret(
        spec=matrix.SIGNING_KEY,
        uptake="procedure",
        consumers="Synapse, and every server that knows its key",
        procedure="Matrix's signing key",
    ),
    DeclaredSecret(
        spec=matrix.ENCRYPTION,
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
            GivenByAPerson(
                spec=GivenSpec(
                    name="alerting",
                    namespace=MONITORING,
                    keys={"url": "to which Alertmanager posts alerts, such as that of a chat's webhook"},
                ),
                consumers="Alertmanager's server, which tells nobody without it",
            ),
            GivenByAPerson(
                spec=GivenSpec(
                    name="drive-sync-google",
                    namespace=DRIVE_SYNC,
                    keys={
                        "client-id": "of your OAuth client at Google, type desktop app",
                        "client-secret": "of that client",
                        "token": "what `rclone authorize drive` prints, the whole of the JSON in one line",
                    },
                ),
                consumers="the nightly runs of Google Drive's sync, which fail without it",
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
