"""PowerDNS: the authoritative name server of the cluster's own zone, a hidden primary or on its own.

Owns the namespace, its secrets and the release of our own chart (charts/powerdns), which has the servers, MariaDB with
one volume, the Service on the DNS address and the API's Service. Does not own zones (`zone.py`), records
(`external_dns.py`), nor the secondary. Must exist before: the address, a class of volumes, and a store of secrets.

Who may transfer zones is decided by address. Behind a Service of policy `Cluster` each client has the address of a
node, as do clients that come through a subnet router of the tailnet: the list restricts the zone to this network, not
to one host. With `Local` the address is preserved, but packets that enter at a node without a server are lost, and the
secondary's enter wherever its route leads.

New values take effect through restarts, which Reloader triggers. A new API key restarts the servers and, with the copy
of the Secret in their namespaces, the API's clients; a new database password restarts database and servers, and a
server that starts first waits for the database. Two keys are never valid at once: PowerDNS has only one. A client with
the wrong one is refused, changes nothing, and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pulumi

from components.dns import powerdns_secrets as secrets
from components.kit.chart import install_own, own_values, values
from components.kit.namespace import make_namespace
from components.kit.network_policy import close_namespace
from components.kit.references import SecretReference, ServiceAddress, StorageClassReference
from components.kit.release import Release
from components.kit.scheduling import replicas
from components.secrets.application_secret import ApplicationSecret, MakeSecrets
from components.secrets.reloader import restart_on

RELEASE = "powerdns"

SERVICE = f"{secrets.NAMESPACE}/{RELEASE}"
"""The Service that has the address, as namespace/name."""


@dataclass(frozen=True, kw_only=True)
class PowerDnsArgs:
    """Arguments of `PowerDns`.

    address: the address of `SERVICE`.
    nameserver: the public name server, without a final dot; zones that are made through the API name it in their SOA.
    transfer_allow: addresses and networks that may transfer zones.
    transfer_notify: addresses that are told of each change.
    api_clients: namespaces whose pods may reach the API.
    annotations: additional ones for `SERVICE`.
    schedulable: how many nodes take ordinary pods.
    """

    secrets: MakeSecrets
    address: ServiceAddress
    storage: StorageClassReference
    nameserver: str
    transfer_allow: Sequence[IPv4Address | IPv4Network]
    transfer_notify: Sequence[IPv4Address]
    api_clients: Sequence[str]
    schedulable: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.address.address is None:
            raise ValueError(
                f"address: MetalLB would choose one of {self.address.pool}, but secondaries must know it before; "
                "claim one"
            )
        if self.nameserver.endswith("."):
            raise ValueError(f"nameserver: {self.nameserver!r} ends with a dot; write it without")


class PowerDns(pulumi.ComponentResource):
    """The name servers, running but without any zone yet."""

    namespace: str

    address: str
    """IPv4 address at which DNS is answered, over UDP and TCP."""

    api_url: str
    """The HTTP API inside the cluster, without a final slash."""

    image: str
    """The servers' image; it contains Python too, for a Job in the same namespace."""

    ready: Release
    """Up when a server reaches its database; whatever calls the API depends on it."""

    def __init__(self, name: str, args: PowerDnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:dns:PowerDns", name, None, opts)
        self.namespace, self.address = secrets.NAMESPACE, str(args.address.address)
        namespace = make_namespace(f"{name}-namespace", self.namespace, "restricted", parent=self)
        # The chart opens its own pods.
        close_namespace(f"{name}-closed", namespace, parent=self)
        made = args.secrets(namespace)
        database, self._api = made[secrets.DATABASE_SECRET.name], made[secrets.API_SECRET.name]
        passwords, key = database.reference(secrets.SERVER_SETTINGS), self._api.reference(secrets.API_SETTINGS)
        configured = _values(args)
        configured["existingSecret"] = _keys(
            database, settings=secrets.SERVER_SETTINGS, accounts=secrets.ACCOUNTS, rootPassword=secrets.ROOT_PASSWORD
        )
        configured["apiSecret"] = _keys(self._api, settings=secrets.API_SETTINGS)
        configured["annotations"] = restart_on(passwords, key)
        configured["database"]["annotations"] = restart_on(passwords)
        self.api_url = f"http://{RELEASE}-api.{self.namespace}.svc:{configured['api']['port']}"
        self.image = _image({**own_values(RELEASE), **configured}["image"])
        self.ready = install_own(
            RELEASE,
            name,
            parent=self,
            name=RELEASE,
            namespace=namespace.metadata.name,
            values=configured,
            depends_on=[args.address.ready, args.storage.ready, passwords.ready, key.ready],
        )
        self.register_outputs({"address": self.address, "api_url": self.api_url, "release": self.ready.name})

    def api_key(self, *, namespace: str) -> SecretReference:
        """The API key, in a namespace that has a copy. Raises ValueError for a namespace that has none."""
        return self._api.reference(secrets.API_KEY, namespace=namespace)


def _values(args: PowerDnsArgs) -> dict[str, Any]:
    """The chart's values, except for the secrets."""
    configured: dict[str, Any] = values("powerdns")
    configured["replicas"] = replicas(args.schedulable)
    configured["soa"] = f"{args.nameserver} {configured['soa']}"
    configured["transfer"] = {
        "allow": [str(one) for one in args.transfer_allow],
        "notify": [str(one) for one in args.transfer_notify],
    }
    configured["api"]["namespaces"] = list(args.api_clients)
    configured["service"] = {"annotations": {**args.address.annotations, **args.annotations}}
    configured["database"] |= {"name": secrets.DATABASE, "user": secrets.DATABASE}
    configured["database"]["volume"]["storageClass"] = args.storage.name
    return configured


def _image(image: Mapping[str, str]) -> str:
    """An image as a container names it; as in the chart, a digest wins over the tag."""
    return f"{image['repository']}@{image['digest']}" if image["digest"] else f"{image['repository']}:{image['tag']}"


def _keys(secret: ApplicationSecret, **keys: str) -> dict[str, str]:
    """A Secret in the form of the chart's values. Raises ValueError when it lacks one of the keys."""
    return {"name": secret.name, **{role: secret.reference(key).key for role, key in keys.items()}}
