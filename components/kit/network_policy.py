"""Which pods may reach a pod: a namespace is closed as a whole, and opened for those that need it.

Owns the form of every NetworkPolicy that the program makes; our own chart of PowerDNS has its own for its two kinds of
pods. Does not own which exist: each component closes its namespace and opens what it runs. Only what comes in is
restricted, not what a pod calls.

A node always reaches its own pods (https://kubernetes.io/docs/concepts/services-networking/network-policies/), so the
kubelet's probes and `kubectl port-forward` need no rule. The API server is another matter: it calls webhooks from the
network of a control plane's host, which no NetworkPolicy can name, so a namespace with a webhook is not closed.
Must exist before: the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.kubernetes_object import Namespace, NetworkPolicy

_NAME_LABEL = "kubernetes.io/metadata.name"
"""The API server gives every namespace this label with its name."""


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Pods by their labels; no labels stand for all.

    namespace: None for that of the policy.
    """

    labels: Mapping[str, str]
    namespace: str | None = None

    @property
    def peer(self) -> dict[str, Any]:
        """These pods as the `from` of a rule."""
        pods: dict[str, Any] = {"podSelector": {"matchLabels": dict(self.labels)}}
        if self.namespace is None:
            return pods
        return pods | {"namespaceSelector": {"matchLabels": {_NAME_LABEL: self.namespace}}}


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may connect to which TCP ports of some pods.

    name: of the policy. to: labels of the pods that are reached.
    """

    name: str
    to: Mapping[str, str]
    ports: Sequence[int]
    callers: Sequence[Pods]

    def __post_init__(self) -> None:
        if not self.callers or not self.ports:
            raise ValueError(f"{self.name}: without callers or ports a policy opens for everybody; name them")


def selector(pods: Mapping[str, str]) -> dict[str, Any]:
    """Pods of a policy's namespace by their labels; none stand for all."""
    return {"matchLabels": dict(pods)} if pods else {}


def close_namespace(logical_name: str, namespace: Namespace, *, parent: pulumi.Resource) -> NetworkPolicy:
    """Nobody reaches a pod of the namespace, except where `open_to` says so."""
    return _policy(logical_name, "closed", namespace.metadata.name, {}, [], parent=parent)


def open_to(
    logical_name: str,
    access: Sequence[Access],
    namespace: pulumi.Input[str],
    *,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> list[NetworkPolicy]:
    """One policy for each of `access`, which closes the pods that it names to everybody else.

    depends_on: after which the namespace exists, where its name is no output of its resource.
    """
    return [
        _policy(
            f"{logical_name}-{one.name}",
            one.name,
            namespace,
            one.to,
            [
                {
                    "from": [caller.peer for caller in one.callers],
                    "ports": [{"port": port, "protocol": "TCP"} for port in one.ports],
                }
            ],
            parent=parent,
            depends_on=depends_on,
        )
        for one in access
    ]


def _policy(
    logical_name: str,
    name: str,
    namespace: pulumi.Input[str],
    pods: Mapping[str, str],
    rules: Sequence[Mapping[str, Any]],
    *,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> NetworkPolicy:
    return NetworkPolicy(
        logical_name,
        metadata=ObjectMetaArgs(name=name, namespace=namespace),
        spec={"podSelector": selector(pods), "policyTypes": ["Ingress"], **({"ingress": list(rules)} if rules else {})},
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=list(depends_on),
            custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
        ),
    )
