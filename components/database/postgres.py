"""A PostgreSQL database for one application: servers, the database in them, and its owner.

Owns the Cluster resource, from which the operator makes pods, volumes, Services and certificates, and the policies of
who may reach the pods. Does not own the namespace, the Secret with the owner's password, nor a copy of the data
elsewhere (`postgres_backup.py`).
Must exist before: the operator, a StorageClass, and the Secret.

The password is an application secret of ours rather than one that the operator generates, so that it is in Vault and
rotates like any other: with the label `cnpg.io/reload` on the Secret the operator sets a changed password in the
database at once (`reconcileUser` in its instance manager), and Reloader restarts the application.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.database import cloudnative_pg
from components.database.cloudnative_pg import CloudNativePg
from components.kit import image_pulls
from components.kit.network_policy import Access, Pods, open_to
from components.kit.readiness import READY
from components.kit.references import SecretReference, StorageClassReference
from components.kit.scheduling import HOSTNAME, replicas
from components.kit.versions import POSTGRESQL
from components.secrets.application_secret import ApplicationSecret
from components.secrets.secret_spec import Plain, SecretSpec

PORT: Final = 5432

SSL_MODE: Final = "verify-full"
"""Of every client: it encrypts, and talks to nobody but a server of `host` that `authority` vouches for."""
METRICS: Final = 9187
"""Port of a server's metrics (https://cloudnative-pg.io/documentation/1.30/monitoring/)."""

_STATUS_PORT: Final = 8000
"""Of the instance manager in each server's pod."""

_RELOAD: Final = "cnpg.io/reload"

_CONFIRMED_BY_BOTH: Final = {"method": "any", "number": 1, "dataDurability": "preferred"}
"""A client is told that its row is written once both servers have it, or the one that is left: a server that is lost
takes nothing along, and one that restarts blocks nobody
(https://cloudnative-pg.io/documentation/1.30/replication/#data-durability-and-synchronous-replication)."""


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    """Arguments of `Postgres`.

    spec, owner: the Secret of type kubernetes.io/basic-auth with the owner's `username` and `password`.
    database: name of the database.
    schedulable: how many nodes take ordinary pods; with two or more there is a second server, a replica of the first.
    callers: the clients' pods, in the same namespace.
    connections: how many clients may be connected at the same time.
    """

    operator: CloudNativePg
    spec: SecretSpec
    owner: ApplicationSecret
    database: str
    storage: StorageClassReference
    size: str
    schedulable: int
    callers: Sequence[Pods]
    connections: int = 100

    def __post_init__(self) -> None:
        _user(self.spec)
        if self.spec.labels.get(_RELOAD) != "true":
            raise ValueError(
                f"spec: {self.spec.name} has no label {_RELOAD}=true, without which a changed password does not reach "
                "the database; add it"
            )


class Postgres(pulumi.ComponentResource):
    """One database, on two servers where two nodes can hold them."""

    host: str
    """Host name, inside the cluster, of the server that accepts writes."""
    database: str
    user: str
    password: SecretReference
    authority: SecretReference
    """The CA certificate, with which clients verify a server: the operator makes an authority for each cluster."""
    ready: CustomResource
    """Ready when all servers are up and the database exists."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:database:Postgres", name, None, opts)
        namespace = args.spec.namespace
        self.host = f"{name}-rw.{namespace}.svc"
        self.database, self.user = args.database, _user(args.spec)
        self.password = args.owner.reference("password")
        servers = replicas(args.schedulable)
        open_to(name, _access(name, args.callers), namespace, parent=self, depends_on=[self.password.ready])
        self.ready = CustomResource(
            name,
            api_version="postgresql.cnpg.io/v1",
            kind="Cluster",
            metadata=ObjectMetaArgs(name=name, namespace=namespace, annotations=READY),
            spec={
                "instances": servers,
                # The operator's budget of a single server never lets it go, and a drain of its node never ends
                # (`reconcilePodDisruptionBudget` in its internal/controller/cluster_create.go).
                "enablePDB": servers > 1,
                "imageName": POSTGRESQL.reference,
                "bootstrap": {
                    "initdb": {"database": args.database, "owner": self.user, "secret": {"name": args.spec.name}}
                },
                "storage": {"size": args.size, "storageClass": args.storage.name},
                "affinity": {
                    "enablePodAntiAffinity": True,
                    "podAntiAffinityType": "required",
                    "topologyKey": HOSTNAME,
                },
                "postgresql": {
                    "parameters": {"max_connections": str(args.connections)},
                    **({"synchronous": _CONFIRMED_BY_BOTH} if servers > 1 else {}),
                },
                # A server over its limit ends with all its connections, and the replica takes over without what was
                # being written; each connection takes up to 10 MiB, and a bulk load took more than 1 GiB
                # (https://github.com/spatiumddi/spatiumddi/issues/1115).
                "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
                # A new minor version restarts the replica first, then switches over to it.
                "primaryUpdateStrategy": "unsupervised",
                "primaryUpdateMethod": "switchover",
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.operator.ready, args.storage.ready, self.password.ready],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=image_pulls.AWAITED, update=image_pulls.AWAITED, delete="5m"
                ),
            ),
        )
        # The Secret has the authority's key too: a client's volume takes this one file of it.
        self.authority = SecretReference(namespace=namespace, name=f"{name}-ca", key="ca.crt", ready=self.ready)
        self.register_outputs({"host": self.host, "ready": self.ready.id})


def pods(cluster: str) -> dict[str, str]:
    """Labels of the servers of a cluster, and of its Jobs: one copies the first server to make a second one."""
    return {"cnpg.io/cluster": cluster}


def among_servers(cluster: str) -> Access:
    """What the operator and the servers of a cluster have to do with each other.

    Ports: https://cloudnative-pg.io/docs/current/networking/
    """
    callers = [Pods(labels=pods(cluster)), cloudnative_pg.PODS]
    return Access(name=f"{cluster}-servers", to=pods(cluster), ports=[PORT, _STATUS_PORT], callers=callers)


def _access(cluster: str, clients: Sequence[Pods]) -> list[Access]:
    """The database for itself, its operator and its clients."""
    to_clients = Access(name=f"{cluster}-clients", to=pods(cluster), ports=[PORT], callers=clients)
    return [among_servers(cluster), to_clients]


def _user(spec: SecretSpec) -> str:
    """The user that a Secret holds. Raises ValueError when it holds none."""
    user = spec.keys.get("username")
    if spec.type != "kubernetes.io/basic-auth" or not isinstance(user, Plain) or "password" not in spec.generated:
        raise ValueError(
            f"spec: {spec.name} holds no user; the operator wants type kubernetes.io/basic-auth, with a plain username "
            "that does not change, and a password"
        )
    return user.value
