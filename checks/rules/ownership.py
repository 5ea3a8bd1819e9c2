"""Ownership: one manager for each object and each release, whatever the systems are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from checks.model.objects import CLUSTER_SCOPED, Object, Release, walk
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule

_WHY = "Each of them undoes what the other did: the object flaps, and whoever prunes last deletes it."
_REMEDY = "Leave it to one of them, and delete the other declaration."


@rule("one-owner", title="Each object has one manager", why=_WHY, remedy=_REMEDY, fast=True)
def objects(platform: Platform) -> Iterator[Finding]:
    """Objects that two managers declare."""
    doubled = _doubled_releases(platform)
    by_identity: dict[Any, list[Object]] = defaultdict(list)
    for thing in platform.objects:
        if not thing.alternative and thing.manager.system != "kubernetes":
            by_identity[thing.identity].append(thing)
    seen: set[tuple[str, ...]] = set()
    for identity, declared in by_identity.items():
        managers = sorted({thing.manager for thing in declared})
        if len(managers) < 2 or _follows_from(declared, doubled):
            continue
        pair = tuple(str(manager) for manager in managers)
        if pair in seen and all(thing.release or thing.origin for thing in declared):
            continue  # two releases that share one object share many: one finding says so
        seen.add(pair)
        places = "; ".join(f"{_who(thing)}, {thing.where or 'at bootstrap'}" for thing in _one_each(declared))
        difference = _difference(declared[0].content, declared[1].content)
        yield finding(
            identity, difference or "metadata.name", f"has {len(managers)} managers: {places}", declared[-1].where
        )


def _one_each(declared: list[Object]) -> list[Object]:
    return list({thing.manager: thing for thing in declared}.values())


def _who(thing: Object) -> str:
    if thing.release is not None:
        return f"{thing.manager} by {thing.release.manager}"
    return str(thing.manager)


def _follows_from(declared: list[Object], doubled: set[tuple[str, str]]) -> bool:
    """Whether it is a consequence of a release or custom resource that is declared twice itself."""
    releases = [(thing.release.namespace, thing.release.name) for thing in declared if thing.release]
    if any(one in doubled for one in releases):
        return True
    origins = [thing.origin for thing in declared]
    return all(origin is not None for origin in origins) and len({str(origin) for origin in origins}) == 1


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The first path at which two declarations differ."""
    mine, theirs = dict(walk(one)), dict(walk(other))
    for path in sorted({*mine, *theirs}):
        a, b = mine.get(path), theirs.get(path)
        if a != b and not isinstance(a, (dict, list)) and not isinstance(b, (dict, list)):
            return path
    return ""


def _doubled_releases(platform: Platform) -> set[tuple[str, str]]:
    by_name: dict[tuple[str, str], list[Release]] = defaultdict(list)
    for release in platform.releases:
        by_name[release.namespace, release.name].append(release)
    return {name for name, declared in by_name.items() if len(declared) > 1}


@rule("one-release", title="Each Helm release has one manager", why=_WHY, remedy=_REMEDY, fast=True)
def releases(platform: Platform) -> Iterator[Finding]:
    """Releases of one name that two managers install, and one chart with objects of the whole cluster twice."""
    by_name: dict[tuple[str, str], list[Release]] = defaultdict(list)
    by_chart: dict[str, list[Release]] = defaultdict(list)
    for release in platform.releases:
        by_name[release.namespace, release.name].append(release)
        by_chart[release.chart].append(release)
    for (space, name), declared in by_name.items():
        managers = {release.manager for release in declared}
        if len(managers) > 1:
            places = "; ".join(f"{release.manager}, {release.where}" for release in declared)
            path = _difference(declared[0].values, declared[1].values)
            field = f"spec.values.{path}" if path else "the release's name"
            yield finding(
                f"release {space}/{name}", field, f"has {len(managers)} managers: {places}", declared[-1].where
            )
    for chart, declared in by_chart.items():
        others = [one for one in declared if (one.namespace, one.name) != (declared[0].namespace, declared[0].name)]
        record = platform.records.get(chart)
        shared = [
            thing["kind"]
            for made in (record.made if record else [])
            for thing in made.objects
            if thing["kind"] in CLUSTER_SCOPED
        ]
        if others and shared and {one.manager.system for one in declared} != {"pulumi"}:
            places = "; ".join(f"{release}, {release.manager}, {release.where}" for release in declared)
            problem = f"installs {chart} a second time, whose {shared[0]} exists once in a cluster: {places}"
            yield finding(others[-1], "chart", problem, others[-1].where)


@rule(
    "terraform-owner",
    title="Nothing that this platform makes is still owned by a Terraform plan",
    why=_WHY,
    remedy="Take it out of Terraform's state first: terraform state rm ADDRESS.",
)
def terraform(platform: Platform) -> Iterator[Finding]:
    """Objects and releases that a plan has as well."""
    for planned in platform.planned:
        owners: list[str] = []
        if planned.release is not None:
            name = f"release {planned.release[0]}/{planned.release[1]}"
            owners = [
                f"{one.manager}, {one.where}"
                for one in platform.releases
                if (one.namespace, one.name) == planned.release
            ]
        elif planned.identity is not None:
            name = str(planned.identity)
            made = platform.objects
            owners = [f"{_who(one)}, {one.where}" for one in made if one.identity == planned.identity and one.where]
        if owners:
            problem = f"is owned by Terraform ({planned.address}) and by {'; '.join(sorted(set(owners)))}"
            remedy = f"terraform state rm '{planned.address}'"
            yield finding(name, planned.address, problem, planned.where, remedy)


@rule(
    "one-network",
    title="Pods' network, Services' addresses and cluster DNS have one owner each",
    why="Two programs that write the same routes or rules break connections of all pods.",
    remedy="Switch off what Talos brings: cluster.network.cni.name none, cluster.proxy.disabled.",
)
def network(platform: Platform) -> Iterator[Finding]:
    """What Talos brings although a release does the same."""
    cilium = next((one for one in platform.releases if one.chart == "cilium"), None)
    if cilium is None:
        return
    for name, field in (("kube-flannel", "cluster.network.cni.name"), ("kube-proxy", "cluster.proxy.disabled")):
        for thing in platform.find("apps", "DaemonSet", "kube-system", name):
            if thing.manager.system == "talos" and (name != "kube-proxy" or _replaces(cilium)):
                problem = f"Talos runs {thing}, and {cilium} ({cilium.manager}) does the same"
                yield finding("the Talos configuration", field, problem, thing.where)


def _replaces(cilium: Release) -> bool:
    return str(cilium.values.get("kubeProxyReplacement", "")).lower() in ("true", "strict")
