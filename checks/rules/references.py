"""References close: whatever an object names exists, with the key or port that is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.model.objects import Object, items, keys_of, mapping, walk
from checks.model.platform import Platform
from checks.model.reference import Need
from checks.rules.rule import Finding, finding, rule, there

_MADE_BY_CHARTS = ("Service", "Secret", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim", "Role")
"""Kinds that a release of which nobody knows what it makes may bring."""


@rule(
    "reference",
    title="Each object that another one names exists",
    why="What refers to it waits for ever, or fails as soon as it is used.",
    remedy="Give the name of one that exists, or declare it.",
)
def references(platform: Platform) -> Iterator[Finding]:
    """References to objects that nobody makes."""
    for thing, need in platform.needs:
        if platform.find(need.group, need.kind, need.namespace, need.name) or _beyond(platform, need):
            continue
        known = platform.named(need.group, need.kind, need.namespace)
        also = _elsewhere(platform, need)
        problem = f"names {need}, which nothing makes: {there(known, need.name)}{also}"
        yield finding(thing, need.field, problem, thing.where)


def _beyond(platform: Platform, need: Need) -> bool:
    """Whether it may exist without the model knowing."""
    if need.kind in ("ClusterRole", "Role") and need.name.startswith("system:"):
        return True
    if need.kind == "ClusterRole" and platform.unknown:
        return True
    return need.kind in _MADE_BY_CHARTS and bool(platform.unknown_in(need.namespace))


def _elsewhere(platform: Platform, need: Need) -> str:
    """The same name in another namespace or as another kind, which is a frequent slip."""
    same = [thing for thing in platform.objects if thing.name == need.name and thing.kind != "ServiceAccount"]
    near = sorted({str(thing) for thing in same if thing.kind == need.kind or thing.namespace in ("", need.namespace)})
    return f" (elsewhere: {', '.join(near[:3])})" if near else ""


@rule(
    "reference-key",
    title="Each key of a Secret or ConfigMap that something names is in it",
    why="A container with a missing key does not start, and an operator that looks one up reports an error for ever.",
    remedy="Name a key that exists, or have the producer write this one.",
)
def keys(platform: Platform) -> Iterator[Finding]:
    """Keys that no declaration of a Secret or ConfigMap has."""
    for thing, need in platform.needs:
        if not need.key or need.kind not in ("Secret", "ConfigMap"):
            continue
        made = platform.find(need.group, need.kind, need.namespace, need.name)
        if not made or any(one.open for one in made):
            continue
        known = set().union(*(keys_of(one) for one in made))
        if need.key not in known:
            problem = f"asks for the key {need.key} of {need}: {there(known, need.key)}"
            yield finding(thing, need.field, problem, thing.where)


@rule(
    "service-port",
    title="Each port of a Service that something names is one of its ports",
    why="Connections are refused, and the ingress controller leaves the path without a backend.",
    remedy="Name a port that the Service has.",
)
def ports(platform: Platform) -> Iterator[Finding]:
    """Ports that a Service does not have."""
    for thing, need in platform.needs:
        if not need.key or need.kind != "Service":
            continue
        known = ports_of(platform, need.namespace, need.name)
        if known and need.key not in known:
            yield finding(
                thing, need.field, f"asks for port {need.key} of {need}: {there(known, need.key)}", thing.where
            )


def ports_of(platform: Platform, namespace: str, name: str) -> set[str]:
    """Names and numbers of a Service's ports; empty where they are not known."""
    found = set()
    for service in platform.find("", "Service", namespace, name):
        for port in items(service.spec.get("ports")):
            found |= {str(port[field]) for field in ("name", "port") if port.get(field) is not None}
    return found


_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_FULL = re.compile(rf"(?<![\w.-])({_LABEL})\.({_LABEL})\.svc(?:\.cluster\.local)?\.?(?::(\d+))?(?![\w-])")
_SHORT = re.compile(
    rf"\b(?:https?|redis|postgres(?:ql)?|mysql|grpc|tcp|amqp)://(?:[^/@\s\"']*@)?({_LABEL})(?:\.({_LABEL}))?:(\d+)"
)


@rule(
    "service-address",
    title="Each address of a Service in the cluster is that of one that exists, with its port",
    why="The name does not resolve, or nothing listens at the port.",
    remedy="Use the name of the Service as its chart makes it, often with the release's name in front.",
)
def addresses(platform: Platform) -> Iterator[Finding]:
    """Host names of Services that nothing makes, and ports that they do not have."""
    spaces = {thing.name for thing in platform.of_kind("", "Namespace")}
    for thing, path, text in _texts(platform):
        for match in _FULL.finditer(text):
            yield from _address(platform, thing, path, match.group(1), match.group(2), match.group(3))
        for match in _SHORT.finditer(text):
            name, space, port = match.group(1), match.group(2), match.group(3)
            own = thing.release.namespace if thing.release else thing.namespace
            if space is None and name != "localhost" and own:
                yield from _address(platform, thing, path, name, own, port)
            elif space in spaces:
                yield from _address(platform, thing, path, name, str(space), port)


def _address(
    platform: Platform, thing: Object, path: str, name: str, namespace: str, port: str | None
) -> Iterator[Finding]:
    if name.isdigit() or "$" in name:
        return
    if not platform.find("", "Service", namespace, name):
        if not platform.blank_in(namespace):
            known = platform.named("", "Service", namespace)
            problem = f"names the Service {namespace}/{name}, which nothing makes: {there(known, name)}"
            yield finding(thing, path, problem, thing.where)
    elif port and (known_ports := ports_of(platform, namespace, name)) and port not in known_ports:
        problem = f"names port {port} of the Service {namespace}/{name}: {there(known_ports, port)}"
        yield finding(thing, path, problem, thing.where)


def _texts(platform: Platform) -> Iterator[tuple[Object, str, str]]:
    """Texts that hold addresses: variables and arguments of containers, data, custom resources."""
    for thing in platform.objects:
        if thing.kind in ("CustomResourceDefinition", "Secret") or thing.manager.system == "operator":
            continue
        if thing.release is not None and not thing.release.own and thing.kind == "ConfigMap":
            continue
        for path, value in walk(thing.content):
            if isinstance(value, str) and not path.startswith("metadata") and (".svc" in value or "://" in value):
                yield thing, path, value


@rule(
    "service-selector",
    title="Each Service selects pods that exist",
    why="A Service without pods answers nobody.",
    remedy="Give the labels of the pods' template.",
)
def selectors(platform: Platform) -> Iterator[Finding]:
    """Selectors of own Services that fit no pod."""
    for service in platform.of_kind("", "Service"):
        wanted = mapping(service.spec.get("selector"))
        if not wanted or service.manager.system == "operator" or platform.unknown_in(service.namespace):
            continue
        if service.release is not None and not service.release.own:
            continue
        labels = [pods.labels for pods in platform.pods_in(service.namespace)]
        if labels and not any(wanted.items() <= own.items() for own in labels):
            known = sorted({f"{key}={value}" for own in labels for key, value in own.items() if key in wanted})
            shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
            yield finding(
                service, "spec.selector", f"selects {shown}, which no pod has: {there(known, shown)}", service.where
            )
