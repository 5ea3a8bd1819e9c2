"""A nightly copy of one database on a volume of its own.

Owns the volume and the CronJob. Must exist before: the database and its StorageClass.

What it is good for: a database that was emptied or damaged, by a migration or by a person. What it is not: the volume
lies on the site's own datastore, so a lost datastore takes both, and a destroy of the cluster leaves it only where the
class keeps volumes. docs/identity.md says how to fetch a copy for another place, and how to bring one back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.batch.v1 import CronJob
from pulumi_kubernetes.core.v1 import PersistentVolumeClaim
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.postgres import PORT, Postgres
from components.references import StorageClassReference
from components.versions import POSTGRESQL

_USER: Final = 26
"""Of the user `postgres` in the image."""

# Written under another name first, so that a copy that ended early is never taken for a whole one.
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
                # The class makes a volume for its first pod, which comes at night: nobody waits for that.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec={
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": args.storage.name,
                "resources": {"requests": {"storage": args.size}},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.storage.ready],
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
                        "template": {"spec": _pod(name, args)},
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
        "PGSSLMODE": "require",
        "KEPT_DAYS": str(args.kept),
    }
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "dump",
                "image": POSTGRESQL.reference,
                "command": ["sh", "-c", _DUMP],
                "env": [
                    *({"name": key, "value": value} for key, value in plain.items()),
                    database.password.environment("PGPASSWORD"),
                ],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                "volumeMounts": [{"name": "backup", "mountPath": "/backup"}],
            }
        ],
        "volumes": [{"name": "backup", "persistentVolumeClaim": {"claimName": volume}}],
    }
