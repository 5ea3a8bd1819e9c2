"""Probes and ports: what is asked answers there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from checks.model.objects import items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@rule(
    "probe-port",
    title="A probe asks at a port that its container has",
    why="The probe never succeeds: the pod is restarted for ever, or gets no traffic.",
    remedy="Name one of the container's ports.",
)
def probes(platform: Platform) -> Iterator[Finding]:
    """Probes at ports that their container does not declare."""
    for one in platform.pods:
        for place, container in one.containers():
            known = ports_of_container(container)
            for field in _PROBES:
                for kind in ("httpGet", "tcpSocket", "grpc"):
                    port = mapping(mapping(container.get(field)).get(kind)).get("port")
                    if port is None or str(port) in known:
                        continue
                    if (isinstance(port, str) and not port.isdigit()) or (
                        known and (one.of.release is None or one.of.release.own)
                    ):
                        problem = f"is {port}, and the container has no such port: {there(known, str(port))}"
                        yield finding(one.of, f"{place}.{field}.{kind}.port", problem, one.of.where)


def ports_of_container(container: dict[str, Any]) -> set[str]:
    """Names and numbers of a container's ports."""
    found = set()
    for port in items(container.get("ports")):
        found |= {str(port[field]) for field in ("name", "containerPort") if port.get(field) is not None}
    return found


@rule(
    "target-port",
    title="A Service sends to a port that its pods have",
    why="Connections are refused.",
    remedy="Give the name or number of a port of the pods.",
)
def targets(platform: Platform) -> Iterator[Finding]:
    """Target ports by name that no selected pod has, and by number in own manifests."""
    for service in platform.of_kind("", "Service"):
        wanted = mapping(service.spec.get("selector"))
        if not wanted or service.manager.system == "operator":
            continue
        chosen = [
            one
            for one in platform.pods
            if one.of.namespace == service.namespace and wanted.items() <= one.labels.items()
        ]
        known = {port for one in chosen for _, container in one.containers() for port in ports_of_container(container)}
        for number, port in enumerate(items(service.spec.get("ports"))):
            target = port.get("targetPort", port.get("port"))
            named = isinstance(target, str) and not target.isdigit()
            own = service.release is None or service.release.own
            if chosen and str(target) not in known and (named or (own and known)):
                problem = f"is {target}, and {chosen[0].of} has no such port: {there(known, str(target))}"
                yield finding(service, f"spec.ports[{number}].targetPort", problem, service.where)
