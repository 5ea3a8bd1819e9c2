"""Monitors: what Prometheus is told to ask is there, with the port that it is to ask at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.rules.policies import made_by_operators
from checks.rules.probes import ports_of_container
from checks.rules.rule import Finding, finding, rule, there

_GROUP = "monitoring.coreos.com"


@rule(
    "monitor-target",
    title="A monitor selects pods or Services that exist, at a port that they have by name",
    why="Prometheus asks nobody, and says nothing: there are no metrics, and no alert ever fires.",
    remedy="Give the namespace, the labels and the port's name as the chart makes them (charts/records).",
)
def targets(platform: Platform) -> Iterator[Finding]:
    """PodMonitors and ServiceMonitors of this repository that find nothing."""
    for kind, field in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        for thing in platform.of_kind(_GROUP, kind):
            own = thing.release is not None and thing.release.own
            if own or thing.manager.system in ("pulumi", "flux"):
                yield from _of(platform, thing, field)


def _of(platform: Platform, thing: Object, field: str) -> Iterator[Finding]:
    selector = mapping(thing.spec.get("namespaceSelector"))
    spaces = [str(name) for name in selector.get("matchNames") or []] or [thing.namespace]
    known = {one.name for one in platform.of_kind("", "Namespace")}
    for number, space in enumerate(spaces):
        if space not in known:
            place = f"spec.namespaceSelector.matchNames[{number}]"
            yield finding(thing, place, f"is {space}, which nothing makes: {there(known, space)}", thing.where)
            return
    wanted = mapping(mapping(thing.spec.get("selector")).get("matchLabels"))
    unsure = any(platform.unknown_in(space) or made_by_operators(platform, space) for space in spaces)
    if selector.get("any") or not wanted or unsure:
        return
    found = list(_candidates(platform, thing.kind, spaces))
    chosen = [ports for labels, ports in found if wanted.items() <= labels.items()]
    if not chosen:
        shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
        seen = {f"{key}={value}" for labels, _ in found for key, value in labels.items() if key in wanted}
        problem = f"selects {shown}, which nothing in {', '.join(spaces)} has: {there(seen, shown)}"
        yield finding(thing, "spec.selector", problem, thing.where)
        return
    names: set[str] = set().union(*chosen)
    for number, entry in enumerate(items(thing.spec.get(field))):
        port = entry.get("port")
        if port and str(port) not in names:
            problem = f"is {port}, which nothing that is selected has: {there(names, str(port))}"
            yield finding(thing, f"spec.{field}[{number}].port", problem, thing.where)


def _candidates(platform: Platform, kind: str, spaces: Iterable[str]) -> Iterator[tuple[dict[str, object], set[str]]]:
    """What a monitor may select: labels, and the names of ports."""
    if kind == "ServiceMonitor":
        for service in platform.of_kind("", "Service"):
            if service.namespace in spaces:
                yield service.labels, {str(port.get("name")) for port in items(service.spec.get("ports"))}
        return
    for pods in platform.pods:
        if pods.of.namespace in spaces:
            yield pods.labels, {port for _, one in pods.containers() for port in ports_of_container(one)}
