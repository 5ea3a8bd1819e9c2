"""An application's namespace: made by this program, filled by Flux.

Owns the namespace with its Pod Security level, its quota, what a container gets that states no limits, and the policies
that close it in both directions. Has its declared secrets made. Does not own the application, nor who reaches its pods
and what they call beyond names: these policies are beside the application, in the repository.

All pods may ask for names. An application's database (CloudNativePG) is opened for its operator and, where it has its
metrics, for Prometheus. It may call whatever it needs: each server reads its Cluster from the API server, whose address
no NetworkPolicy can name (https://github.com/cloudnative-pg/cloudnative-pg/blob/main/docs/src/networking.md).
Must exist before: a store of secrets, if there are any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.database import postgres
from components.gitops.scraping import PROMETHEUS
from components.kit.kubernetes_object import LimitRange, Namespace, NetworkPolicy, ResourceQuota
from components.kit.namespace import PodSecurity, make_namespace
from components.kit.network_policy import Access, close_namespace, open_to, selector
from components.kit.ports import DNS
from components.network import core_dns
from components.secrets.application_secret import ApplicationSecret, MakeSecrets

_QUANTITY = re.compile(r"[1-9][0-9]*(m|Mi|Gi|Ti)?")

_CONTAINER_LIMIT: Final = {"memory": "256Mi"}
_CONTAINER_REQUEST: Final = {"cpu": "10m", "memory": "64Mi"}
"""What a container has that says nothing, such as an init container of a chart: the quota would refuse it."""


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What all pods of a namespace may have together, as quantities of Kubernetes.

    cpu: of requests. memory: of limits, and so of requests too. storage: of all claims.
    load_balancers: how many Services may have an address of their own.
    """

    cpu: str
    memory: str
    storage: str
    load_balancers: int = 0

    def __post_init__(self) -> None:
        for name in ("cpu", "memory", "storage"):
            value = getattr(self, name)
            if not _QUANTITY.fullmatch(value):
                raise ValueError(f"{name}: {value!r} is no quantity; give one such as 2, 500m, 4Gi or 1Ti")
        if self.load_balancers < 0:
            raise ValueError(f"load_balancers: {self.load_balancers}; give 0 or more")

    @property
    def hard(self) -> dict[str, str]:
        """As a ResourceQuota has it."""
        return {
            "requests.cpu": self.cpu,
            "requests.memory": self.memory,
            "limits.memory": self.memory,
            "requests.storage": self.storage,
            "services.loadbalancers": str(self.load_balancers),
        }


@dataclass(frozen=True, kw_only=True)
class ApplicationNamespaceArgs:
    """Arguments of `ApplicationNamespace`.

    namespace: its name.
    database: name of the application's Cluster of CloudNativePG, if it has one.
    secrets: makes what is declared for the namespace; None if nothing is.
    """

    namespace: str
    security: PodSecurity
    quota: Quota
    database: str | None = None
    secrets: MakeSecrets | None = None


class ApplicationNamespace(pulumi.ComponentResource):
    """The namespace, closed and limited before anything runs in it."""

    namespace: Namespace

    secrets: Mapping[str, ApplicationSecret]
    """What is declared for the namespace, by name."""

    ready: Sequence[pulumi.Resource]
    """After these Flux may fill the namespace; its secrets are awaited by whatever reads them."""

    def __init__(self, name: str, args: ApplicationNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:ApplicationNamespace", name, None, opts)
        self.namespace = make_namespace(f"{name}-namespace", args.namespace, args.security, parent=self, owner="flux")
        place = self.namespace.metadata.name
        self.ready = [
            self._quota(name, args.quota, place),
            self._defaults(name, place),
            close_namespace(f"{name}-closed", self.namespace, parent=self),
            self._egress(f"{name}-names", "names", place, {}, _names()),
        ]
        if args.database is not None:
            self.ready += self._open_database(name, args.database, place)
        self.secrets = args.secrets(self.namespace) if args.secrets else {}
        self.register_outputs({"namespace": place})

    def _quota(self, name: str, quota: Quota, place: pulumi.Input[str]) -> ResourceQuota:
        return ResourceQuota(
            f"{name}-quota",
            metadata=ObjectMetaArgs(name="application", namespace=place),
            spec={"hard": quota.hard},
            opts=self._child(),
        )

    def _defaults(self, name: str, place: pulumi.Input[str]) -> LimitRange:
        return LimitRange(
            f"{name}-defaults",
            metadata=ObjectMetaArgs(name="application", namespace=place),
            spec={"limits": [{"type": "Container", "default": _CONTAINER_LIMIT, "defaultRequest": _CONTAINER_REQUEST}]},
            opts=self._child(),
        )

    def _open_database(self, name: str, database: str, place: pulumi.Input[str]) -> list[NetworkPolicy]:
        pods = postgres.pods(database)
        return [
            *open_to(
                f"{name}-database", [postgres.among_servers(database), self._metrics(database)], place, parent=self
            ),
            # An empty rule: to everywhere.
            self._egress(f"{name}-database-calls", f"{database}-calls", place, pods, [{}]),
        ]

    @staticmethod
    def _metrics(database: str) -> Access:
        return Access(
            name=f"{database}-metrics", to=postgres.pods(database), ports=[postgres.METRICS], callers=[PROMETHEUS]
        )

    def _egress(
        self,
        logical_name: str,
        name: str,
        place: pulumi.Input[str],
        pods: Mapping[str, str],
        rules: Sequence[Mapping[str, Any]],
    ) -> NetworkPolicy:
        """What some pods may call; a pod that a policy of this direction selects may call nothing else."""
        return NetworkPolicy(
            logical_name,
            metadata=ObjectMetaArgs(name=name, namespace=place),
            spec={
                "podSelector": selector(pods),
                "policyTypes": ["Egress"],
                "egress": list(rules),
            },
            opts=self._child(),
        )

    def _child(self) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self, custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m")
        )


def _names() -> list[dict[str, Any]]:
    """To the cluster's DNS servers."""
    ports = [{"port": DNS, "protocol": protocol} for protocol in ("UDP", "TCP")]
    return [{"to": [core_dns.PODS.peer], "ports": ports}]
