"""Monitors: what Prometheus is told to ask is there, and lets it ask.

A monitor that fits nothing makes no target, so `up` has no series that could be 0, and no alert says that the figures
are missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from checks.model.objects import Object, items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_GROUP = "monitoring.coreos.com"
_NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Target:
    """Pods that may be asked. ports: their containers' numbers by name, and those without a name by themselves."""

    namespace: str
    labels: Mapping[str, Any]
    ports: Mapping[str, int]
    name: str

    def number(self, port: object) -> int | None:
        """That of a port that is given by name or by number; None where there is no such name."""
        return self.ports.get(str(port), int(str(port)) if str(port).isdigit() else None)


_OPERATED: Mapping[tuple[str, str], tuple[Mapping[str, str], Mapping[str, int]]] = {
    # https://github.com/cloudnative-pg/cloudnative-pg/blob/v1.30.0/pkg/specs/pods.go
    ("postgresql.cnpg.io", "Cluster"): (
        {"cnpg.io/podRole": "instance", "cnpg.io/cluster": "{name}"},
        {"postgresql": 5432, "metrics": 9187, "status": 8000},
    ),
    # The container bank-vaults has a port called metrics:
    # https://github.com/bank-vaults/vault-operator/blob/v1.24.0/pkg/controller/vault/vault_controller.go
    ("vault.banzaicloud.com", "Vault"): (
        {"app.kubernetes.io/name": "vault", "vault_cr": "{name}"},
        {"api-port": 8200, "cluster-port": 8201, "metrics": 9091},
    ),
    # https://github.com/fluxcd/kustomize-controller/blob/v1.9.6/config/manager/deployment.yaml; the others' are alike.
    ("fluxcd.controlplane.io", "FluxInstance"): (
        {"app.kubernetes.io/part-of": "flux"},
        {"http-prom": 8080, "healthz": 9440},
    ),
}
"""What operators make pods of, the labels of these, and the ports of these by their names."""


@rule(
    "monitor-target",
    title="A monitor asks pods that exist, at a port that they have",
    why="Prometheus makes no target of it: nothing fails, no alert fires, and the figures are missing.",
    remedy="Give labels that the pods or Services have, and the name of one of their ports.",
)
def targets(platform: Platform) -> Iterator[Finding]:
    """PodMonitors and ServiceMonitors that select nothing, or name a port that what they select does not have."""
    spaces = [one.name for one in platform.of_kind("", "Namespace")]
    for monitor, chosen in selections(platform):
        wanted = _wanted(monitor)
        missing = False
        for number, space in enumerate(mapping(monitor.spec.get("namespaceSelector")).get("matchNames") or []):
            if str(space) not in spaces:
                missing = True
                path = f"spec.namespaceSelector.matchNames[{number}]"
                yield finding(
                    monitor, path, f"is {space}, which nothing makes: {there(spaces, str(space))}", monitor.where
                )
        if not chosen and not missing:
            known = {text for one in _near(platform, monitor) for text in _texts(one, wanted)}
            problem = f"selects {_shown(wanted)}, which nothing has: {there(known, _shown(wanted))}"
            yield finding(monitor, "spec.selector", problem, monitor.where)
        for path, port in _ports(monitor):
            names = {name for one in chosen for name in _names(one)}
            if chosen and str(port) not in names:
                problem = f"is {port}, which {chosen[0]} does not have: {there(names, str(port))}"
                yield finding(monitor, path, problem, monitor.where)


@rule(
    "monitor-closed",
    title="Pods that a monitor asks let Prometheus in",
    why="Each scrape ends in a timeout: there are no figures, and the target counts as down.",
    remedy="Open the port for Prometheus by a NetworkPolicy in the pods' namespace.",
)
def closed(platform: Platform) -> Iterator[Finding]:
    """Pods behind policies none of which lets Prometheus in at the port of the monitor."""
    servers = {one.namespace for one in platform.of_kind(_GROUP, "Prometheus")}
    pods = pods_to_ask(platform)
    for monitor, chosen in selections(platform) if servers else ():
        for path, port in _ports(monitor):
            for target in asked(pods, chosen):
                number = _number(chosen, target, port)
                if number is not None and not any(_reaches(platform, space, target, number) for space in servers):
                    problem = f"is {number} of {target.name}, where no policy lets Prometheus in"
                    yield finding(monitor, path, problem, monitor.where)


Chosen = Target | Object
"""What a monitor selects: pods of a PodMonitor, Services of a ServiceMonitor."""


def selections(platform: Platform) -> Iterator[tuple[Object, list[Chosen]]]:
    """The monitors that this repository writes, each with what it selects: pods, or Services.

    One that selects nothing known is left out where there is a release of which nobody knows what it makes. Those that
    charts of others bring are left out too.
    """
    pods = pods_to_ask(platform)
    services = list(platform.of_kind("", "Service"))
    everything: dict[str, list[Target] | list[Object]] = {"PodMonitor": pods, "ServiceMonitor": services}
    for kind, known in everything.items():
        for monitor in platform.of_kind(_GROUP, kind):
            if monitor.manager.system not in ("pulumi", "flux") and not (monitor.release and monitor.release.own):
                continue
            places, selector = _places(monitor), mapping(monitor.spec.get("selector"))
            chosen: list[Chosen] = [
                one for one in known if (places is None or one.namespace in places) and selects(selector, one.labels)
            ]
            if chosen or not any(places is None or one.namespace in places for one in platform.unknown):
                yield monitor, chosen


def pods_to_ask(platform: Platform) -> list[Target]:
    """The pods of all workloads, and those that operators make: one entry for all replicas of a kind."""
    found = [
        Target(
            one.of.namespace,
            one.labels,
            {
                str(port.get("name") or port["containerPort"]): int(port["containerPort"])
                for _, container in one.containers()
                for port in items(container.get("ports"))
                if "containerPort" in port
            },
            str(one.of),
        )
        for one in platform.pods
        if one.labels
    ]
    for thing in platform.objects:
        if (thing.group, thing.kind) in _OPERATED:
            labels, ports = _OPERATED[thing.group, thing.kind]
            own = {key: value.format(name=thing.name) for key, value in labels.items()}
            found.append(Target(thing.namespace, own, ports, str(thing)))
    return found


def _places(monitor: Object) -> set[str] | None:
    """The namespaces in which a monitor looks; None stands for all."""
    selector = mapping(monitor.spec.get("namespaceSelector"))
    if selector.get("any"):
        return None
    return {str(name) for name in selector.get("matchNames") or [monitor.namespace]}


def _wanted(monitor: Object) -> dict[str, Any]:
    return mapping(mapping(monitor.spec.get("selector")).get("matchLabels"))


def _near(platform: Platform, monitor: Object) -> list[Chosen]:
    """What is in the namespaces in which a monitor looks."""
    places = _places(monitor)
    known: list[Chosen] = (
        [*pods_to_ask(platform)] if monitor.kind == "PodMonitor" else [*platform.of_kind("", "Service")]
    )
    return [one for one in known if places is None or one.namespace in places]


def _texts(one: Chosen, wanted: Mapping[str, Any]) -> set[str]:
    """The labels of something under the keys that are asked for."""
    return {f"{key}={value}" for key, value in one.labels.items() if key in wanted}


def _shown(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items())


def _ports(monitor: Object) -> Iterator[tuple[str, object]]:
    """The port of each endpoint with its path."""
    field = "podMetricsEndpoints" if monitor.kind == "PodMonitor" else "endpoints"
    for number, endpoint in enumerate(items(monitor.spec.get(field))):
        for name in ("port", "portNumber", "targetPort"):
            if endpoint.get(name) is not None:
                yield f"spec.{field}[{number}].{name}", endpoint[name]
                break


def _names(one: Chosen) -> set[str]:
    """The names and numbers of the ports of pods, or the names of those of a Service."""
    if isinstance(one, Target):
        return {*one.ports, *map(str, one.ports.values())}
    return {str(port["name"]) for port in items(one.spec.get("ports")) if port.get("name")}


def asked(pods: list[Target], chosen: list[Chosen]) -> Iterator[Target]:
    """The pods among `pods` that are asked in the end, where a monitor selects `chosen`: those behind a Service too."""
    for one in chosen:
        if isinstance(one, Target):
            yield one
        elif wanted := mapping(one.spec.get("selector")):
            yield from (pod for pod in pods if pod.namespace == one.namespace and wanted.items() <= pod.labels.items())


def _number(chosen: list[Chosen], target: Target, port: object) -> int | None:
    """The container's port behind that of a monitor; None where it is not known."""
    for one in chosen:
        if isinstance(one, Target):
            return target.number(port)
        for entry in items(one.spec.get("ports")):
            if entry.get("name") == port:
                return target.number(entry.get("targetPort", entry.get("port")))
    return None


def _reaches(platform: Platform, space: str, target: Target, number: int) -> bool:
    """Whether Prometheus in a namespace may connect, as Kubernetes reads the policies of the target's."""
    entries = openings(platform, target)
    return entries is None or any(
        opens_port(entry, target, number) and _from(entry, space, target.namespace) for entry in entries
    )


def openings(platform: Platform, target: Target) -> list[dict[str, Any]] | None:
    """The entries of policies that let somebody in to pods; None if no policy is about them, so that everybody is."""
    about = [
        policy
        for policy in platform.of_kind("networking.k8s.io", "NetworkPolicy")
        if policy.namespace == target.namespace
        and "Ingress" in (policy.spec.get("policyTypes") or ["Ingress"])
        and selects(mapping(policy.spec.get("podSelector")), target.labels)
    ]
    return [entry for policy in about for entry in items(policy.spec.get("ingress"))] if about else None


def opens_port(entry: Mapping[str, Any], target: Target, number: int) -> bool:
    """Whether an entry of a policy opens a port of a pod, named or numbered; one without ports opens them all."""
    ports = items(entry.get("ports"))
    return not ports or any(port.get("port") is None or target.number(port["port"]) == number for port in ports)


def _from(entry: Mapping[str, Any], space: str, own: str) -> bool:
    """Whether a rule lets the pods in that Prometheus Operator makes (their label is that of its own)."""
    peers = items(entry.get("from"))
    server = {"app.kubernetes.io/name": "prometheus"}
    return not peers or any(
        "ipBlock" not in peer
        and selects(mapping(peer.get("podSelector")), server)
        and (
            selects(mapping(peer["namespaceSelector"]), {_NAMESPACE: space})
            if "namespaceSelector" in peer
            else space == own
        )
        for peer in peers
    )


def selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether a selector fits labels, with the operators of set-based requirements."""
    for one in items(selector.get("matchExpressions")):
        value, values = labels.get(str(one.get("key"))), one.get("values") or []
        holds = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds[str(one.get("operator"))]:
            return False
    return mapping(selector.get("matchLabels")).items() <= labels.items()
