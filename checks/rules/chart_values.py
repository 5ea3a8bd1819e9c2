"""Values of a chart that nobody has rendered with them: what they name exists, and volumes are not locked out.

Rules see what a chart makes by its record. Where values changed since, the record shows what was; these rules read the
values themselves, so that a fault is named and not only that the record is old.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from checks.charts.record import FILE, read
from checks.model.objects import Release, keys_of, mapping, walk
from checks.model.platform import Platform
from checks.model.program import HIDDEN, LATER
from checks.model.reference import Need, text_of
from checks.rules.rule import Finding, finding, rule, there
from checks.rules.storage import locked

_CLASS = re.compile(r"(^|\.)storageClass(Name)?$")
_INGRESS = re.compile(r"(^|\.)(ingressClassName|ingress\.className|ingressClass)$")
_SECRET = re.compile(r"(^|\.)existingSecret(?!.*(Key|key)$)\w*$")
_POOL = "metallb.io/address-pool"
_ISSUER = "cert-manager.io/cluster-issuer"
_STRATEGY = re.compile(r"(^|\.)(update|deployment)?[sS]trategy(\.(type|\*))?$")


@rule(
    "value-reference",
    title="What a chart's values name exists",
    why="What the chart makes of it waits for ever: a claim stays Pending, a container does not start.",
    remedy="Give the name of one that exists, or declare it.",
)
def references(platform: Platform) -> Iterator[Finding]:
    """Names in values that nobody recorded, at places whose meaning is the same in every chart."""
    for release in _changed(platform):
        for path, need in _needs(release):
            made = platform.find(need.group, need.kind, need.namespace, need.name)
            if not made:
                known = platform.named(need.group, need.kind, need.namespace)
                problem = f"names {need}, which nothing makes: {there(known, need.name)}"
                yield finding(release, f"values.{path}", problem, release.where)
            elif need.key and not any(one.open for one in made):
                keys = set().union(*(keys_of(one) for one in made))
                if need.key not in keys:
                    problem = f"asks for the key {need.key} of {need}: {there(keys, need.key)}"
                    yield finding(release, f"values.{path}", problem, release.where)


def _changed(platform: Platform) -> Iterator[Release]:
    """The releases with values that nobody recorded."""
    for problem in platform.chart_problems:
        if problem.kind == "unrecorded" and not platform.doubled(problem.release):
            yield problem.release


def _needs(release: Release) -> Iterator[tuple[str, Need]]:
    for path, value in walk(release.values):
        name = text_of(value)
        if isinstance(value, dict):
            yield from _keyed(path, value, release.namespace)
        elif not name or name in (HIDDEN, LATER) or name == "-":
            continue
        elif _CLASS.search(path):
            yield path, Need(path, "storage.k8s.io", "StorageClass", "", name)
        elif _INGRESS.search(path):
            yield path, Need(path, "networking.k8s.io", "IngressClass", "", name)
        elif path.endswith(_POOL):
            yield path, Need(path, "metallb.io", "IPAddressPool", "metallb-system", name)
        elif path.endswith(_ISSUER):
            yield path, Need(path, "cert-manager.io", "ClusterIssuer", "", name)
        elif _SECRET.search(path):
            yield path, Need(path, "", "Secret", release.namespace, name)


def _keyed(path: str, value: dict[str, Any], namespace: str) -> Iterator[tuple[str, Need]]:
    """A Secret or ConfigMap with one of its keys, as containers name them and as some charts do."""
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if path.endswith(f".{field}") and not value.get("optional"):
            yield path, Need(path, "", kind, namespace, text_of(value.get("name")), text_of(value.get("key")))
    if isinstance(value.get("secret"), str) and value.get("secretKey"):
        yield path, Need(path, "", "Secret", namespace, text_of(value["secret"]), text_of(value["secretKey"]))


@rule(
    "value-strategy",
    title="Values keep the strategy that a Deployment with a volume for one node has",
    why="The new pod waits for the volume, and the old one keeps it until the new one is ready.",
    remedy="Set the value to Recreate again.",
)
def strategies(platform: Platform) -> Iterator[Finding]:
    """Releases that were recorded with Recreate, whose values no longer say so."""
    checked = read(FILE if platform.root == FILE.parents[1] else platform.root / "charts" / "checked.yaml")
    for release in _changed(platform):
        entry = checked.get(release.chart)
        given = dict(walk(release.values))
        for key in entry.keys if entry is not None else ():
            path = key.removesuffix(".*").removesuffix(".type")
            if not _STRATEGY.search(key):
                continue
            now = mapping(given.get(path)).get("type") or (
                given.get(path) if isinstance(given.get(path), str) else None
            )
            for pods, claim in locked(platform, release) if now != "Recreate" else ():
                said = f"is {now}" if now else "is gone, so the chart's own strategy counts"
                mode = ", ".join(text_of(one) for one in claim.spec.get("accessModes") or [])
                problem = f"is what values.{path} says, which {said}; and {claim} is {mode}"
                yield finding(pods.of, "spec.strategy.type", problem, release.where)
