"""Authentik: the identity provider, where people sign on once for every service.

Owns the Helm release: servers, workers, their Services, disruption budgets and the ingress. Does not own the namespace
(its secrets and its database come first), the database, nor what is inside Authentik: blueprints, which its workers
take from Secrets. Must exist before: the database, the Secrets, the ingress controller.

No program calls Authentik's API, so no API token can expire; its desired state is in files.
Blueprints are in one directory of the workers, each from a Secret that may be missing: one that belongs to a later
phase appears there within a minute of its Secret, in the same volume. A worker applies a file when it appears,
and every file whose hash is new when it starts; Reloader restarts it when a Secret changes, or first appears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi

from components.certificates.certificate import Certificate
from components.database.postgres import PORT, SSL_MODE, Postgres
from components.identity.authentik_secrets import NAMESPACE
from components.kit.chart import ChartSource, values
from components.kit.network_policy import Access, Pods, open_to
from components.kit.references import SecretReference
from components.kit.release import Release
from components.kit.scheduling import one_per_node, replicas
from components.kit.versions import AUTHENTIK, AUTHENTIK_SERVER
from components.network import nginx_ingress
from components.network.nginx_ingress import NginxIngress
from components.secrets.reloader import restart_on

NAME: Final = NAMESPACE
"""Name of the release and of its namespace."""

SERVER: Final = f"{NAME}-server"
"""Name of the servers' Service, which speaks HTTP on port 80."""

PODS: Final = Pods(labels={"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME})
"""Servers and workers, the clients of the database."""

_HTTP_PORT: Final = 9000
"""On which a server's pod answers what its Service gets on port 80."""

_AUTHORITY: Final = "/run/database-authority"
_MOUNT: Final = "/blueprints/mounted/homelab"


@dataclass(frozen=True, kw_only=True)
class BlueprintFile:
    """A key of a Secret with a blueprint.

    name: of the file, without `.yaml`.
    secret, key: where it comes from; it may come later.
    """

    name: str
    secret: str
    key: str


@dataclass(frozen=True, kw_only=True)
class AuthentikArgs:
    """Arguments of `Authentik`.

    host: name at which people reach it.
    environment: secret variables of servers and workers.
    blueprints: files of the workers.
    schedulable: how many nodes take ordinary pods.
    callers: pods of the namespace that call a server without the ingress.
    certificate: of `host`; its Secret may be filled later, and the ingress then answers with it.
    """

    charts: ChartSource
    host: str
    database: Postgres
    environment: Mapping[str, SecretReference]
    blueprints: Sequence[BlueprintFile]
    ingress: NginxIngress
    certificate: Certificate
    schedulable: int
    callers: Sequence[Pods] = ()

    def __post_init__(self) -> None:
        if "AUTHENTIK_SECRET_KEY" not in self.environment:
            raise ValueError("environment: no AUTHENTIK_SECRET_KEY, without which no server starts; add it")
        for variable, secret in self.environment.items():
            if secret.namespace != NAME:
                raise ValueError(
                    f"environment: {variable} is of namespace {secret.namespace!r}; pods read {NAME!r} alone"
                )
        names = [file.name for file in self.blueprints]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"blueprints: {twice[0]!r} appears twice; give one of them another name")


class Authentik(pulumi.ComponentResource):
    """Servers and workers, two of each where two nodes can hold them."""

    host: str
    """Name at which people reach it; the issuer of every token has it."""
    url: str
    """URL at which people reach it, once it is up."""
    ready: Release
    """Up when servers and workers are. Blueprints are applied a little later: `oidc_probe.py`."""

    def __init__(self, name: str, args: AuthentikArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:identity:Authentik", name, None, opts)
        self.host = args.host
        self.url = f"https://{args.host}/"
        secrets = [secret.ready for secret in args.environment.values()]
        open_to(name, [_access(args.callers)], NAME, parent=self, depends_on=secrets)
        self.ready = args.charts.install(
            AUTHENTIK,
            name,
            parent=self,
            name=NAME,
            namespace=NAME,
            values=_values(args),
            depends_on=[
                args.database.ready,
                args.ingress.ready,
                *secrets,
            ],
        )
        self.register_outputs({"host": self.host, "release": self.ready.name})


def _access(callers: Sequence[Pods]) -> Access:
    """People come through the ingress. Nobody calls a worker."""
    servers = {**PODS.labels, "app.kubernetes.io/component": "server"}
    return Access(name=SERVER, to=servers, ports=[_HTTP_PORT], callers=[nginx_ingress.PODS, *callers])


def _values(args: AuthentikArgs) -> dict[str, Any]:
    configured: dict[str, Any] = values(NAME)
    database = args.database
    plain = {
        "AUTHENTIK_POSTGRESQL__HOST": database.host,
        "AUTHENTIK_POSTGRESQL__PORT": str(PORT),
        "AUTHENTIK_POSTGRESQL__NAME": database.database,
        "AUTHENTIK_POSTGRESQL__USER": database.user,
        "AUTHENTIK_POSTGRESQL__SSLMODE": SSL_MODE,
        # A path for the servers' libpq and, from 2026.5.1, for the workers too, which read a certificate here before:
        # https://github.com/goauthentik/authentik/pull/22680
        "AUTHENTIK_POSTGRESQL__SSLROOTCERT": f"{_AUTHORITY}/{database.authority.key}",
        # Seeds a setting that 2026.8 asks for at the first start and 2026.11 will demand.
        "AUTHENTIK_WEB__BASE_URL": f"https://{args.host}",
        "AUTHENTIK_OUTPOSTS__DISCOVER": "false",
        "AUTHENTIK_DISABLE_UPDATE_CHECK": "true",
        "AUTHENTIK_ERROR_REPORTING__ENABLED": "false",
        "AUTHENTIK_DISABLE_STARTUP_ANALYTICS": "true",
    }
    secret = {**args.environment, "AUTHENTIK_POSTGRESQL__PASSWORD": database.password}
    # The chart runs the version that it was released with, which may not be the newest of the line.
    configured["global"]["image"] = {"tag": AUTHENTIK_SERVER.version}
    configured["global"]["env"] += [
        *({"name": variable, "value": value} for variable, value in sorted(plain.items())),
        *(reference.environment(variable) for variable, reference in sorted(secret.items())),
    ]
    for key, entry in _authority(database).items():
        configured["global"][key].append(entry)
    for component in ("server", "worker"):
        tree = configured[component]
        tree["replicas"] = replicas(args.schedulable)
        tree["topologySpreadConstraints"] = one_per_node({**PODS.labels, "app.kubernetes.io/component": component})
    reloaded = restart_on(*secret.values())
    configured["server"]["deploymentAnnotations"] = reloaded
    configured["worker"]["deploymentAnnotations"] = {
        key: ",".join(sorted({*text.split(","), *(file.secret for file in args.blueprints)}))
        for key, text in reloaded.items()
    }
    configured["worker"] |= _blueprints(args.blueprints)
    configured["server"]["ingress"] |= {
        "ingressClassName": args.ingress.class_name,
        "hosts": [args.host],
        "tls": [{"hosts": [args.host], "secretName": args.certificate.certificate.name}],
    }
    return configured


def _authority(database: Postgres) -> dict[str, Any]:
    """The database's CA certificate, for servers and workers; not the key beside it in the Secret."""
    authority = database.authority
    items = [{"key": authority.key, "path": authority.key}]
    return {
        "volumes": {"name": "database-authority", "secret": {"secretName": authority.name, "items": items}},
        "volumeMounts": {"name": "database-authority", "mountPath": _AUTHORITY, "readOnly": True},
    }


def _blueprints(files: Sequence[BlueprintFile]) -> dict[str, Any]:
    """One volume, so that a later blueprint is just another file in it."""
    sources = [
        {
            "secret": {
                "name": file.secret,
                "items": [{"key": file.key, "path": f"{file.name}.yaml"}],
                "optional": True,
            }
        }
        for file in files
    ]
    return {
        "volumes": [{"name": "blueprints-homelab", "projected": {"sources": sources}}],
        "volumeMounts": [{"name": "blueprints-homelab", "mountPath": _MOUNT, "readOnly": True}],
    }
