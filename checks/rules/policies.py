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
        ("fluxcd.controlplane.io", "FluxInstance"),
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
    for policy in _policies(platform):
        for path, selector in _selectors(policy):
            wanted = mapping(selector.get("matchLabels"))
            cluster = str(wanted.get(_DATABASE) or "")
            known = platform.named("postgresql.cnpg.io", "Cluster", policy.namespace)
            # The program prepares namespaces of applications that the tree need not have.
            if cluster and known and cluster not in known:
                yield finding(policy, path, f"selects {_DATABASE}={cluster}: {there(known, cluster)}", policy.where)
            labels = [pods.labels for pods in platform.pods_in(policy.namespace)]
            # Operators give labels to pods of theirs that no template has.
            if _operated(platform, policy.namespace):
                continue
            known_keys = wanted and all(any(key in own for own in labels) for key in wanted)
            if known_keys and not cluster and not any(wanted.items() <= own.items() for own in labels):
                shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
                seen = {f"{key}={value}" for own in labels for key, value in own.items() if key in wanted}
                yield finding(policy, path, f"selects {shown}, which no pod has: {there(seen, shown)}", policy.where)


_NAME = "kubernetes.io/metadata.name"
"""The label with its name that the API server gives to each namespace."""


@rule(
    "policy-namespace",
    title="A network policy names namespaces and pods that exist",
    why="It allows nothing: in a closed namespace, connections time out.",
    remedy="Give the name of a namespace that exists, and labels that pods in it have.",
)
def peers(platform: Platform) -> Iterator[Finding]:
    """Peers in another namespace that is not there, or that has no such pods."""
    known = {thing.name for thing in platform.of_kind("", "Namespace")}
    for policy in _policies(platform):
        for path, peer in _peers(policy):
            space = str(mapping(mapping(peer.get("namespaceSelector")).get("matchLabels")).get(_NAME) or "")
            if space and space not in known:
                problem = f"is {space}, which nothing makes: {there(known, space)}"
                place = f"{path}.namespaceSelector.matchLabels[{_NAME}]"
                yield finding(policy, place, problem, policy.where)
                continue
            wanted = mapping(mapping(peer.get("podSelector")).get("matchLabels"))
            labels = [pods.labels for pods in platform.pods_in(space)]
            unsure = platform.unknown_in(space) or _operated(platform, space)
            if wanted and labels and not unsure and not any(wanted.items() <= own.items() for own in labels):
                shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
                seen = {f"{key}={value}" for own in labels for key, value in own.items() if key in wanted}
                problem = f"selects {shown}, which no pod in {space} has: {there(seen, shown)}"
                yield finding(policy, f"{path}.podSelector", problem, policy.where)


def _peers(policy: Object) -> Iterator[tuple[str, dict[str, Any]]]:
    for side, field in (("ingress", "from"), ("egress", "to")):
        for number, entry in enumerate(items(policy.spec.get(side))):
            for place, peer in enumerate(items(entry.get(field))):
                yield f"spec.{side}[{number}].{field}[{place}]", peer


_DNS = ("53", "dns", "domain")


@rule(
    "policy-names",
    title="Pods whose calls are restricted may ask for names",
    why="No name resolves for them, and whatever they call by its name times out.",
    remedy="Allow port 53, UDP and TCP, to the cluster's DNS servers.",
)
def names(platform: Platform) -> Iterator[Finding]:
    """Pods that policies close for calls, with none that opens port 53."""
    closing = [one for one in platform.of_kind("networking.k8s.io", "NetworkPolicy") if _restricts_calls(one)]
    seen: set[str] = set()
    for pods in platform.pods:
        space = pods.of.namespace
        own = [one for one in closing if one.namespace == space and _selects(one, pods)]
        aside = pods.spec.get("hostNetwork") or pods.spec.get("dnsPolicy") == "None" or space in seen
        # What a chart gives itself is its publisher's to know, and its rules are not recorded.
        own_charts = all(one.release is None or one.release.own for one in own)
        # One that may call nobody at all needs no names.
        calls = any(one.spec.get("egress") for one in own)
        if calls and own_charts and not aside and not any(_opens_names(one) for one in own):
            seen.add(space)
            shown = ", ".join(one.name for one in own)
            problem = f"open no port 53 for {pods.of}: NetworkPolicies {shown} of {space}"
            yield finding(own[0], "spec.egress", problem, own[0].where)


def _restricts_calls(policy: Object) -> bool:
    kinds = policy.spec.get("policyTypes") or []
    return "Egress" in kinds or (not kinds and "egress" in policy.spec)


def _selects(policy: Object, pods: Pods) -> bool:
    selector = mapping(policy.spec.get("podSelector"))
    for entry in items(selector.get("matchExpressions")):
        value, among = pods.labels.get(str(entry.get("key"))), entry.get("values") or []
        fits = {
            "In": value in among,
            "NotIn": value not in among,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fits.get(str(entry.get("operator")), True):
            return False
    return mapping(selector.get("matchLabels")).items() <= pods.labels.items()


def _opens_names(policy: Object) -> bool:
    for entry in policy.spec.get("egress") or []:
        ports = items(mapping(entry).get("ports"))
        if not ports or any(str(port.get("port", "53")) in _DNS for port in ports):
            return True
    return False


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
        chosen = [pods for pods in platform.pods_in(policy.namespace) if wanted.items() <= pods.labels.items()]
        known = {
            port for pods in chosen for _, container in pods.containers() for port in ports_of_container(container)
        }
        for number, entry in enumerate(items(policy.spec.get("ingress"))):
            for place, port in enumerate(items(entry.get("ports"))):
                name = port.get("port")
                if chosen and isinstance(name, str) and not name.isdigit() and name not in known:
                    problem = f"is {name}, which no selected pod has: {there(known, name)}"
                    yield finding(policy, f"spec.ingress[{number}].ports[{place}].port", problem, policy.where)


@rule(
    "policy-other-side",
    title="What one side may call, the other side lets in",
    why="Connections time out: whoever is called is closed, and opens another port, or opens it to others.",
    remedy="Give the port of the pods, not that of their Service, or let the caller in there.",
)
def doors(platform: Platform) -> Iterator[Finding]:
    """Ports in policies on calls that the pods called open to nobody of the caller's namespace."""
    for policy in _policies(platform):
        for number, entry in enumerate(items(policy.spec.get("egress"))):
            for peer in items(entry.get("to")):
                space = _namespace_of(peer, policy.namespace)
                wanted = mapping(mapping(peer.get("podSelector")).get("matchLabels"))
                opened = _opened(platform, space, wanted, policy.namespace) if space and wanted else None
                for place, port in enumerate(items(entry.get("ports")) if opened is not None else ()):
                    if not any(_fit(port, one) for one in opened or ()):
                        ports = ", ".join(sorted({str(one.get("port")) for one in opened or ()})) or "none"
                        shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
                        problem = (
                            f"is {port.get('port')}, and pods {shown} in {space} open to {policy.namespace}: {ports}"
                        )
                        yield finding(policy, f"spec.egress[{number}].ports[{place}].port", problem, policy.where)


def _opened(platform: Platform, space: str, labels: dict[str, Any], caller: str) -> list[dict[str, Any]] | None:
    """What pods with these labels, and perhaps more, open to the namespace `caller`; None where they may open all."""
    incoming = [
        one
        for one in platform.of_kind("networking.k8s.io", "NetworkPolicy")
        if one.namespace == space and "Ingress" in (one.spec.get("policyTypes") or ["Ingress"])
    ]
    selectors = [mapping(one.spec.get("podSelector")) for one in incoming]
    # What a chart gives itself is recorded by its name alone; of pods that a policy of ours is about, ours is the door.
    unsure = platform.unknown_in(space) or any(one.release is not None and not one.release.own for one in incoming)
    about = [mapping(selector.get("matchLabels")) for selector in selectors]
    if unsure and not any(each and each.items() <= labels.items() for each in about):
        return None
    if not any(
        not selector.get("matchExpressions") and mapping(selector.get("matchLabels")).items() <= labels.items()
        for selector in selectors
    ):
        return None
    opened: list[dict[str, Any]] = []
    for one, selector in zip(incoming, selectors, strict=True):
        if all(labels.get(key, value) == value for key, value in mapping(selector.get("matchLabels")).items()):
            for entry in items(one.spec.get("ingress")):
                callers = items(entry.get("from"))
                if not callers or any(_namespace_of(peer, space) in (caller, None) for peer in callers):
                    opened += items(entry.get("ports")) or [{}]
    return opened


def _namespace_of(peer: dict[str, Any], own: str) -> str | None:
    """The one namespace of a peer's pods; empty for addresses, None where it may be any."""
    if "ipBlock" in peer:
        return ""
    if "namespaceSelector" not in peer:
        return own
    return mapping(mapping(peer["namespaceSelector"]).get("matchLabels")).get(_NAME)


def _fit(called: dict[str, Any], opened: dict[str, Any]) -> bool:
    """Whether two ports may be one: what a name stands for, the container says."""
    numbers = [str(one.get("port", "")) for one in (called, opened)]
    return numbers[0] == numbers[1] or not all(map(str.isdigit, numbers)) or "endPort" in {*called, *opened}


def _policies(platform: Platform) -> Iterator[Object]:
    """The policies that this repository writes, in namespaces whose pods are known."""
    for policy in platform.of_kind("networking.k8s.io", "NetworkPolicy"):
        written = policy.manager.system in ("pulumi", "flux") or (policy.release is not None and policy.release.own)
        if written and not platform.unknown_in(policy.namespace):
            yield policy


def _operated(platform: Platform, namespace: str) -> bool:
    """Whether an operator makes pods in a namespace whose labels the model does not know."""
    return any(one.namespace == namespace for group, kind in _OPERATED for one in platform.of_kind(group, kind))


def _selectors(policy: Object) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "spec.podSelector", mapping(policy.spec.get("podSelector"))
    for side, field in (("ingress", "from"), ("egress", "to")):
        for number, entry in enumerate(items(policy.spec.get(side))):
            for place, peer in enumerate(items(entry.get(field))):
                if "namespaceSelector" not in peer:
                    yield f"spec.{side}[{number}].{field}[{place}].podSelector", mapping(peer.get("podSelector"))
