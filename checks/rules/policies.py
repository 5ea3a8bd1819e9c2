"""Network policies: whom they are about is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.model.pods import Pods
from checks.rules.probes import ports_of_container
from checks.rules.rule import Finding, finding, rule, there

_DATABASE = "cnpg.io/cluster"
"""The label of a database's pods, with the name of its Cluster
(https://cloudnative-pg.io/documentation/current/labels_annotations/)."""


_OPERATED = frozenset(
    {
        *(("monitoring.coreos.com", kind) for kind in ("Prometheus", "Alertmanager", "ThanosRuler")),
        ("vault.banzaicloud.com", "Vault"),
    }
)
"""Kinds of which operators make pods with labels of their own."""


@rule(
    "policy-pods",
    title="A network policy is about pods that exist",
    why="It allows nothing: in a closed namespace, connections time out.",
    remedy="Give labels that the pods have.",
)
def selected(platform: Platform) -> Iterator[Finding]:
    """Selectors of policies, and of peers in their own namespace, that fit no pod."""
    # Operators give labels to pods of theirs that no template has.
    operated = {one.namespace for group, kind in _OPERATED for one in platform.of_kind(group, kind)}
    for policy in _policies(platform):
        for path, selector in _selectors(policy):
            wanted = mapping(selector.get("matchLabels"))
            cluster = str(wanted.get(_DATABASE) or "")
            known = platform.named("postgresql.cnpg.io", "Cluster", policy.namespace)
            # The program prepares namespaces of applications that the tree need not have.
            if cluster and known and cluster not in known:
                yield finding(policy, path, f"selects {_DATABASE}={cluster}: {there(known, cluster)}", policy.where)
            labels = [pods.labels for pods in _pods(platform, policy)]
            if policy.namespace in operated:
                continue
            known_keys = wanted and all(any(key in own for own in labels) for key in wanted)
            if known_keys and not cluster and not any(wanted.items() <= own.items() for own in labels):
                shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
                seen = {f"{key}={value}" for own in labels for key, value in own.items() if key in wanted}
                yield finding(policy, path, f"selects {shown}, which no pod has: {there(seen, shown)}", policy.where)


@rule(
    "policy-port",
    title="A port that a network policy names is one of its pods'",
    why="A name that no container has allows nothing.",
    remedy="Give the name or the number of a port of the container.",
)
def ports(platform: Platform) -> Iterator[Finding]:
    """Names of ports in policies on what comes in that no selected pod has."""
    for policy in _policies(platform):
        wanted = mapping(mapping(policy.spec.get("podSelector")).get("matchLabels"))
        chosen = [pods for pods in _pods(platform, policy) if wanted.items() <= pods.labels.items()]
        known = {
            port for pods in chosen for _, container in pods.containers() for port in ports_of_container(container)
        }
        for number, entry in enumerate(items(policy.spec.get("ingress"))):
            for place, port in enumerate(items(entry.get("ports"))):
                name = port.get("port")
                if chosen and isinstance(name, str) and not name.isdigit() and name not in known:
                    problem = f"is {name}, which no selected pod has: {there(known, name)}"
                    yield finding(policy, f"spec.ingress[{number}].ports[{place}].port", problem, policy.where)


def _policies(platform: Platform) -> Iterator[Object]:
    """The policies that this repository writes, in namespaces whose pods are known."""
    for policy in platform.of_kind("networking.k8s.io", "NetworkPolicy"):
        written = policy.manager.system in ("pulumi", "flux") or (policy.release is not None and policy.release.own)
        if written and not platform.unknown_in(policy.namespace):
            yield policy


def _pods(platform: Platform, policy: Object) -> list[Pods]:
    return [pods for pods in platform.pods if pods.of.namespace == policy.namespace]


def _selectors(policy: Object) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "spec.podSelector", mapping(policy.spec.get("podSelector"))
    for side, field in (("ingress", "from"), ("egress", "to")):
        for number, entry in enumerate(items(policy.spec.get(side))):
            for place, peer in enumerate(items(entry.get(field))):
                if "namespaceSelector" not in peer:
                    yield f"spec.{side}[{number}].{field}[{place}].podSelector", mapping(peer.get("podSelector"))
