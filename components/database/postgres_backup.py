"""A nightly copy of one database on a volume of its own.

Owns the volume and the CronJob. Does not own the database. Must exist before: the database and its StorageClass.

It protects against a database that was emptied or damaged, by a migration or by a person. It is not an off-site backup:
the volume is on the site's own datastore, so losing that datastore loses both, and after the cluster's destroy it
remains only if its class keeps volumes. docs/identity.md says how to copy a dump elsewhere, and how to restore one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.database.postgres import PORT, SSL_MODE, Postgres
from components.kit.kubernetes_object import CronJob, PersistentVolumeClaim
from components.kit.network_policy import Pods
from components.kit.references import StorageClassReference
from components.kit.restricted_pod import HEARS_TERM, container_security, pod_security
from components.kit.versions import POSTGRESQL

_USER: Final = 26
"""Id of the user `postgres` in the image."""

_AUTHORITY: Final = "/run/authority"

PODS: Final = Pods(labels={"app.kubernetes.io/name": "postgres-backup"})
"""The pods that copy a database, one of its clients."""

# Written under another name first, so that an incomplete copy is never taken for a whole one.
_DUMP: Final = """\
set -eu
file="/backup/$(date -u +%Y-%m-%dT%H%M%SZ).dump"
pg_dump --format=custom --file="$file.part"
pg_restore --list "$file.part" >/dev/null
mv "$file.part" "$file"
rm -f /backup/*.dump.part
find /backup -name '*.dump' -mtime "+$KEPT_DAYS" -delete
"""


@dataclass(frozen=True, kw_only=True)
class PostgresBackupArgs:
    """Arguments of `PostgresBackup`.

    kept: days after which a copy is deleted.
    """

    database: Postgres
    storage: StorageClassReference
    size: str
    kept: int = 14

    def __post_init__(self) -> None:
        if self.kept < 1:
            raise ValueError(f"kept: {self.kept} days would delete each copy at once; give 1 or more")


class PostgresBackup(pulumi.ComponentResource):
    """Copies of a database, made every night at 02:40 UTC."""

    def __init__(self, name: str, args: PostgresBackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:database:PostgresBackup", name, None, opts)
        metadata = ObjectMetaArgs(name=name, namespace=args.database.password.namespace)
        volume = PersistentVolumeClaim(
            name,
            metadata=ObjectMetaArgs(
                name=name,
                namespace=args.database.password.namespace,
                # The class makes a volume only for its first pod, which starts at night: nothing waits for that.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec={
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": args.storage.name,
                "resources": {"requests": {"storage": args.size}},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                # The database's password comes after the namespace, whose name alone says nothing of it.
                depends_on=[args.storage.ready, args.database.password.ready],
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="5m"),
            ),
        )
        job = CronJob(
            name,
            metadata=metadata,
            spec={
                "schedule": "40 2 * * *",
                "timeZone": "Etc/UTC",
                "concurrencyPolicy": "Forbid",
                "startingDeadlineSeconds": 3600,
                "successfulJobsHistoryLimit": 1,
                "failedJobsHistoryLimit": 3,
                "jobTemplate": {
                    "spec": {
                        "backoffLimit": 2,
                        "activeDeadlineSeconds": 1800,
                        "template": {"metadata": {"labels": dict(PODS.labels)}, "spec": _pod(name, args)},
                    }
                },
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.database.ready, volume],
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
            ),
        )
        self.register_outputs({"volume": volume.metadata.name, "job": job.metadata.name})


def _pod(volume: str, args: PostgresBackupArgs) -> dict[str, Any]:
    database = args.database
    plain = {
        "PGHOST": database.host,
        "PGPORT": str(PORT),
        "PGDATABASE": database.database,
        "PGUSER": database.user,
        "PGSSLMODE": SSL_MODE,
        "PGSSLROOTCERT": f"{_AUTHORITY}/{database.authority.key}",
        "KEPT_DAYS": str(args.kept),
    }
    password = {"name": database.password.name, "key": database.password.key}
    container = {
        "name": "dump",
        "image": POSTGRESQL.reference,
        "command": ["sh", "-c", _DUMP],
        "env": [
            *({"name": key, "value": value} for key, value in plain.items()),
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": password}},
        ],
        "securityContext": container_security(),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [
            {"name": "backup", "mountPath": "/backup"},
            {"name": "authority", "mountPath": _AUTHORITY, "readOnly": True},
        ],
    }
    authority = [{"key": database.authority.key, "path": database.authority.key}]
    return {
        "restartPolicy": "Never",
        "shareProcessNamespace": HEARS_TERM,
        "automountServiceAccountToken": False,
        "securityContext": pod_security(_USER, _USER),
        "containers": [container],
        "volumes": [
            {"name": "backup", "persistentVolumeClaim": {"claimName": volume}},
            {"name": "authority", "secret": {"secretName": database.authority.name, "items": authority}},
        ],
    }
