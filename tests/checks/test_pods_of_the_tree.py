"""What holds for the pods of every application, whether it is switched on or not: they are reached, read and end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from checks.gitops.tree import GITOPS, documents
from checks.model.objects import Object, items, mapping, walk
from checks.model.platform import Platform
from checks.model.pods import Pods
from checks.rules.capacity import quantity
from checks.rules.monitors import Target, openings, opens_port, pods_to_ask, selects

INGRESS = "nginx-ingress"
NAME = "kubernetes.io/metadata.name"
READ_BY_OTHERS = 0o004
ADDRESS = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local)?:(\d+)")
LOOPBACK = r"(?:127\.0\.0\.1|localhost|\[?::1\]?)"


def written(everything: Platform) -> Iterator[Pods]:
    """Pods whose specification stands in this repository, rather than in somebody's chart."""
    for one in everything.pods:
        if one.of.release is None or one.of.release.own:
            yield one


def test_a_file_that_only_its_group_may_read_belongs_to_the_pods_group(everything: Platform) -> None:
    """Without `fsGroup` a volume of files is root's, and a program that is not root reads none of them."""
    found = {
        str(one.of): mapping(one.spec.get("securityContext")).get("fsGroup")
        for one in written(everything)
        for volume in items(one.spec.get("volumes"))
        for kind in ("secret", "configMap", "projected")
        if (mode := mapping(volume.get(kind)).get("defaultMode")) is not None and not int(mode) & READ_BY_OTHERS
    }
    assert "CronJob gitea/gitea-hand-over" in found
    assert [of for of, group in found.items() if group is None] == []


def test_a_job_is_not_ended_while_its_image_is_fetched(everything: Platform) -> None:
    """The time counts from the Job's start: https://kubernetes.io/docs/concepts/workloads/controllers/job/."""
    jobs = [one.of for one in everything.pods if one.of.kind in ("Job", "CronJob")]
    specs = {
        str(job): mapping(mapping(job.spec.get("jobTemplate")).get("spec")) if job.kind == "CronJob" else job.spec
        for job in jobs
    }
    limits = {name: spec["activeDeadlineSeconds"] for name, spec in specs.items() if "activeDeadlineSeconds" in spec}
    assert len(limits) > 2
    assert [name for name, seconds in limits.items() if seconds < 120] == []


def asked(container: Mapping[str, Any]) -> set[str]:
    """The numbers of the ports at which the kubelet asks a container."""
    names = {str(port.get("name")): str(port["containerPort"]) for port in items(container.get("ports"))}
    probes = [mapping(container.get(f"{kind}Probe")) for kind in ("readiness", "liveness", "startup")]
    ports = [mapping(probe.get(how)).get("port") for probe in probes for how in ("httpGet", "tcpSocket", "grpc")]
    return {names.get(str(port), str(port)) for port in ports if port is not None}


def to_itself(container: Mapping[str, Any]) -> list[str]:
    """What tells a program to listen to itself alone, at a port at which the kubelet asks or at every one."""
    told = [*map(str, container.get("command") or []), *map(str, container.get("args") or [])]
    told = [" ".join(told[at : at + 2]) for at in range(len(told))]
    told += [f"{one['name']}={one.get('value')}" for one in items(container.get("env"))]
    everywhere = re.compile(rf"(?:--?(?:host|bind|listen|address)[ =]|(?:HOST|BIND|LISTEN|ADDRESS)=){LOOPBACK}(?: .*)?")
    found = [text for text in told if everywhere.fullmatch(text)]
    ports = "|".join(map(re.escape, asked(container))) or "none"
    return found + [text for text in told if re.search(rf"[ =]{LOOPBACK}:(?:{ports})(?: |$)", text)]


def test_a_program_that_is_asked_over_the_network_does_not_listen_to_itself_alone(everything: Platform) -> None:
    containers = [(f"{one.of} {path}", part) for one in written(everything) for path, part in one.containers()]
    assert any(asked(part) for _, part in containers)
    assert {where: texts for where, part in containers if asked(part) and (texts := to_itself(part))} == {}


def lets_in(everything: Platform, target: Target, number: int, space: str) -> bool:
    """Whether the policies about pods let any pod of a namespace in at a port."""
    entries = openings(everything, target)
    return entries is None or any(
        opens_port(entry, target, number) and _from(entry, space, target.namespace) for entry in entries
    )


def _from(entry: Mapping[str, Any], space: str, own: str) -> bool:
    peers = [peer for peer in items(entry.get("from")) if "ipBlock" not in peer]
    spaces = [peer.get("namespaceSelector", {"matchLabels": {NAME: own}}) for peer in peers]
    return not entry.get("from") or any(selects(mapping(one), {NAME: space}) for one in spaces)


def behind(everything: Platform, namespace: str, service: str, port: object) -> Iterator[tuple[Target, int]]:
    """The pods of a Service, each with its own port behind one of the Service's."""
    for thing in everything.of_kind("", "Service"):
        if (thing.namespace, thing.name) != (namespace, service) or not thing.spec.get("selector"):
            continue
        for entry in items(thing.spec.get("ports")):
            if str(port) not in (str(entry.get("port")), str(entry.get("name"))):
                continue
            for target in pods_to_ask(everything):
                fits = mapping(thing.spec["selector"]).items() <= target.labels.items()
                number = target.number(entry.get("targetPort", entry["port"]))
                if target.namespace == namespace and fits and number is not None:
                    yield target, number


def calls(everything: Platform) -> Iterator[tuple[str, str, str, str, str]]:
    """Who is told which address of a Service: the caller and its namespace; the Service's, its name and port."""
    for release in everything.releases:
        for path, value in walk(release.values):
            for name, space, port in ADDRESS.findall(value) if isinstance(value, str) else ():
                yield f"{release} {path}", release.namespace, space, name, port
    for thing in everything.objects:
        if thing.kind not in ("CustomResourceDefinition", "Secret", "HelmRelease", "ClusterSecretStore"):
            for path, value in walk(thing.content):
                for name, space, port in ADDRESS.findall(value) if isinstance(value, str) and thing.namespace else ():
                    yield f"{thing} {path}", thing.namespace, space, name, port


def test_who_is_called_by_the_address_of_a_service_lets_the_caller_in(everything: Platform) -> None:
    seen, closed = set(), set()
    for caller, own, space, name, port in calls(everything):
        for target, number in behind(everything, space, name, port):
            seen.add((own, space, name))
            if not lets_in(everything, target, number, own):
                closed.add(f"{caller}: {target.name} at {number}")
    assert {("logs", "logs", "loki"), ("logs", "traces", "tempo"), ("monitoring", "logs", "loki")} <= seen
    assert sorted(closed) == []


def backends(ingress: Object) -> Iterator[tuple[str, object]]:
    for rule in items(ingress.spec.get("rules")):
        for path in items(mapping(rule.get("http")).get("paths")):
            service = mapping(mapping(path.get("backend")).get("service"))
            port = mapping(service.get("port"))
            yield str(service["name"]), port.get("number") or port.get("name")


def test_what_an_ingress_leads_to_lets_the_controller_in(everything: Platform) -> None:
    seen, closed = set(), set()
    for ingress in everything.of_kind("networking.k8s.io", "Ingress"):
        for name, port in backends(ingress):
            for target, number in behind(everything, ingress.namespace, name, port):
                seen.add(ingress.namespace)
                if not lets_in(everything, target, number, INGRESS):
                    closed.add(f"{ingress}: {target.name} at {number}")
    assert {"gitea", "harbor", "matrix", "inventree"} <= seen
    assert sorted(closed) == []


KEPT = {
    # What a program may keep, and where: (release, argument) to (claim or volume, part of it that it may take).
    ("build-cache", r"--max_size=(\d+)", "Gi"): ("persistence.data.size", 0.95),
}


def test_a_cache_throws_away_before_its_volume_is_full() -> None:
    values = {
        document["metadata"]["name"]: document["spec"]["values"]
        for _, document in documents(GITOPS)
        if document.get("kind") == "HelmRelease"
    }
    for (release, argument, unit), (place, part) in KEPT.items():
        [most] = re.findall(argument, yaml.safe_dump(values[release]["controllers"]))
        size: Any = values[release]
        for key in place.split("."):
            size = size[key]
        assert quantity(f"{most}{unit}") <= part * quantity(size), release


def test_a_store_in_memory_throws_away_before_it_is_ended() -> None:
    [stores] = [one for _, one in documents(GITOPS) if mapping(one.get("metadata")).get("name") == "firecrawl-stores"]
    valkey = stores["spec"]["values"]["controllers"]["valkey"]["containers"]["valkey"]
    most = valkey["args"][valkey["args"].index("--maxmemory") + 1]
    # Its own unit, of powers of two: https://valkey.io/topics/valkey.conf/.
    assert quantity(most.replace("mb", "Mi")) <= 0.75 * quantity(valkey["resources"]["limits"]["memory"])


def test_a_database_counts_as_ready_by_what_its_operator_says_of_it() -> None:
    """With any other expression Flux waits for ever, or goes on while there is no database."""
    said = {
        (file.parent.name, check["kind"]): check["current"]
        for file, document in documents(GITOPS)
        for check in mapping(document.get("spec")).get("healthCheckExprs") or []
    }
    ready = "has(status.conditions) && status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
    assert {name for name, _ in said} >= {"gitea", "harbor", "inventree", "matrix"}
    assert set(said.values()) == {ready}
