"""The TSIG key for zone transfers on the primary: PowerDNS in the cluster gives the zone to clients that sign with it.

Owns a Secret with the key and a Job that gives it to PowerDNS through the API. Does not own PowerDNS, the zone, or the
secondary, which gets the same `TsigKey`. Must exist before: PowerDNS and the zone.

A Job, because the secondary waits for it: nothing fetches the zone before its key is known. It runs again whenever any
of its inputs changes; the Secret is immutable and has a generated name, so that another key is another Secret, which
the Job notices by its name. What the Job does not notice is a database that was lost or restored (docs/edge.md says
what to do then). A CronJob would notice, but `up` could not wait for one.

The zone's list of keys is set to this one, so that an earlier key no longer works. A key with another name stays in the
database, where no zone names it. When the component is deleted, its key stays, and so does the zone's list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.dns.powerdns import PowerDns
from components.dns.tsig import TsigKey
from components.dns.zone import DnsZone
from components.kit.kubernetes_object import Job, Secret
from components.kit.restricted_pod import HEARS_TERM, container_security, pod_security

SCRIPT: Final = Path(__file__).with_name("transfer_key_script.py")

API_KEY_FILE: Final = "api-key"
TSIG_KEY_FILE: Final = "tsig-key"

_KEYS: Final = "/keys"
_ACCOUNT: Final = 953
"""Account of PowerDNS in its image."""


@dataclass(frozen=True, kw_only=True)
class TransferKeyArgs:
    """Arguments of `TransferKey`."""

    powerdns: PowerDns
    zone: DnsZone
    key: TsigKey


class TransferKey(pulumi.ComponentResource):
    """A zone whose transfers are signed."""

    key: TsigKey
    """For the secondary."""

    ready: Job
    """Complete when PowerDNS knows the key; whatever fetches the zone with it depends on this."""

    def __init__(self, name: str, args: TransferKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:dns:TransferKey", name, None, opts)
        self.key = args.key
        api_key = args.powerdns.api_key(namespace=args.powerdns.namespace)
        secret = Secret(
            name,
            metadata=ObjectMetaArgs(namespace=args.powerdns.namespace),
            immutable=True,
            stringData={TSIG_KEY_FILE: pulumi.Output.secret(args.key.secret)},
            opts=pulumi.ResourceOptions(
                parent=self,
                # Which has its namespace.
                depends_on=[args.powerdns.ready],
                custom_timeouts=pulumi.CustomTimeouts(delete="2m"),
            ),
        )
        keys = [
            _projection(api_key.name, api_key.key, API_KEY_FILE),
            _projection(secret.metadata.name, TSIG_KEY_FILE, TSIG_KEY_FILE),
        ]
        self.ready = Job(
            name,
            # A generated name: a Job's template is immutable, so a new Job takes the place of the old one.
            metadata=ObjectMetaArgs(namespace=args.powerdns.namespace, labels={"app.kubernetes.io/name": name}),
            spec={
                # While the API key is rotated, servers and Secret may differ for a minute.
                "backoffLimit": 4,
                "activeDeadlineSeconds": 900,
                "template": {"metadata": {"labels": {"app.kubernetes.io/name": name}}, "spec": _pod(args, keys)},
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.powerdns.ready, args.zone.ready, api_key.ready],
                custom_timeouts=pulumi.CustomTimeouts(create="18m", update="18m", delete="2m"),
            ),
        )
        self.register_outputs({"ready": self.ready.id})


def _projection(secret: pulumi.Input[str], key: str, path: str) -> dict[str, Any]:
    """One key of a Secret as a file."""
    return {"secret": {"name": secret, "items": [{"key": key, "path": path}]}}


def _pod(args: TransferKeyArgs, keys: list[dict[str, Any]]) -> dict[str, Any]:
    """The script, in the image that PowerDNS's nodes have already."""
    said = [args.powerdns.api_url, args.zone.domain, args.key.name, args.key.algorithm, _KEYS]
    container = {
        "name": "transfer-key",
        "image": args.powerdns.image,
        "command": ["/usr/bin/python3", "-c", SCRIPT.read_text(encoding="utf-8"), *said],
        "securityContext": container_security(),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "volumeMounts": [{"name": "keys", "mountPath": _KEYS, "readOnly": True}],
    }
    return {
        "restartPolicy": "Never",
        "shareProcessNamespace": HEARS_TERM,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(_ACCOUNT, _ACCOUNT),
        "containers": [container],
        "volumes": [{"name": "keys", "projected": {"defaultMode": 0o440, "sources": keys}}],
    }
