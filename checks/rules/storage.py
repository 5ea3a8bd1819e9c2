"""Storage: volumes that one pod at a time may use, and classes that can give what is asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from checks.model.objects import Object, Release, items, mapping
from checks.model.platform import Platform
from checks.model.pods import Pods
from checks.rules.capacity import is_default
from checks.rules.rule import Finding, finding, rule

_SINGLE = ("ReadWriteOnce", "ReadWriteOncePod")
MODES = {"csi.proxmox.sinextra.dev": _SINGLE, "driver.longhorn.io": (*_SINGLE, "ReadWriteMany", "ReadOnlyMany")}
"""Access modes that a driver provides: https://github.com/sergelogvinov/proxmox-csi-plugin#readme and
https://longhorn.io/docs/1.12.1/nodes-and-volumes/volumes/rwx-volumes/."""


@rule(
    "volume-deadlock",
    title="A Deployment with a volume for one node at a time stops its old pod first",
    why="The new pod waits for the volume, and the old one keeps it until the new one is ready.",
    remedy="Set strategy.type to Recreate (in a chart's values: where the chart has it), or use a StatefulSet.",
)
def deadlocks(platform: Platform) -> Iterator[Finding]:
    """Deployments that roll while they hold a ReadWriteOnce claim."""
    for pods in platform.pods:
        if pods.of.kind != "Deployment":
            continue
        strategy = mapping(pods.of.spec.get("strategy"))
        rolling = mapping(strategy.get("rollingUpdate"))
        first = str(rolling.get("maxSurge", "25%")) in ("0", "0%")
        for claim in _single(platform, pods):
            mode = ", ".join(claim.spec.get("accessModes") or [])
            if strategy.get("type", "RollingUpdate") != "Recreate" and not first:
                kind = strategy.get("type") or "RollingUpdate, by default"
                yield finding(pods.of, "spec.strategy.type", f"is {kind}, and {claim} is {mode}", pods.of.where)
            if pods.replicas > 1:
                problem = f"is {pods.replicas}, and {claim} is {mode}: only pods of one node get it"
                yield finding(pods.of, "spec.replicas", problem, pods.of.where)


def locked(platform: Platform, release: Release) -> Iterator[tuple[Pods, Object]]:
    """The Deployments of a release that stop first, each with a volume for one node for which they do."""
    for pods in platform.pods:
        strategy = mapping(pods.of.spec.get("strategy")).get("type")
        if pods.of.release is release and pods.of.kind == "Deployment" and strategy == "Recreate":
            for claim in _single(platform, pods):
                yield pods, claim


def _single(platform: Platform, pods: Pods) -> Iterator[Object]:
    for volume in items(pods.spec.get("volumes")):
        name = str(mapping(volume.get("persistentVolumeClaim")).get("claimName") or "")
        for claim in platform.find("", "PersistentVolumeClaim", pods.of.namespace, name) if name else []:
            modes = claim.spec.get("accessModes") or []
            if modes and all(mode in _SINGLE for mode in modes):
                yield claim


@rule(
    "shared-volume",
    title="A volume for one node at a time belongs to one workload",
    why="The pods of the second workload stay Pending as soon as they are put on another node.",
    remedy="Give each a claim of its own, put both into one pod, or use a class that provides ReadWriteMany.",
)
def shared(platform: Platform) -> Iterator[Finding]:
    """Claims that two workloads mount."""
    users: dict[str, list[tuple[Pods, Object]]] = defaultdict(list)
    for pods in platform.pods:
        if pods.of.kind not in ("Job", "CronJob"):
            for claim in _single(platform, pods):
                users[str(claim)].append((pods, claim))
    for name, declared in users.items():
        if len({str(pods.of) for pods, _ in declared}) > 1:
            others = ", ".join(sorted({str(pods.of) for pods, _ in declared}))
            yield finding(
                name, "spec.accessModes", f"is for one node at a time, and {others} mount it", declared[0][1].where
            )


@rule(
    "volume-class",
    title="Each claim has a class that provides its access mode",
    why="The claim stays Pending, and with it the pod.",
    remedy="Name a class that exists, or an access mode that its driver has.",
)
def classes(platform: Platform) -> Iterator[Finding]:
    """Claims without a class while there is no default, or with a mode that the driver does not have."""
    known = {one.name: one for one in platform.of_kind("storage.k8s.io", "StorageClass")}
    default = next((name for name, one in known.items() if is_default(one.annotations)), "")
    for thing, path, spec in _claims(platform):
        wanted = spec.get("storageClassName")
        if not wanted and not default and not spec.get("volumeName"):
            problem = f"names no class, and no class is the default: there are {', '.join(sorted(known)) or 'none'}"
            yield finding(thing, f"{path}.storageClassName", problem, thing.where)
        klass = known.get(str(wanted or default))
        modes = MODES.get(str(klass.content.get("provisioner"))) if klass else None
        for mode in spec.get("accessModes") or []:
            if modes and mode not in modes:
                driver = klass.content.get("provisioner") if klass else ""
                problem = f"is {mode}, and {klass} ({driver}) has {', '.join(modes)}"
                yield finding(thing, f"{path}.accessModes", problem, thing.where)


def _claims(platform: Platform) -> Iterator[tuple[Object, str, dict[str, Any]]]:
    for claim in platform.of_kind("", "PersistentVolumeClaim"):
        yield claim, "spec", claim.spec
    for kind, group in (("StatefulSet", "apps"), ("Vault", "vault.banzaicloud.com")):
        for thing in platform.of_kind(group, kind):
            if thing.manager.system == "operator":
                continue
            for number, template in enumerate(items(thing.spec.get("volumeClaimTemplates"))):
                yield thing, f"spec.volumeClaimTemplates[{number}].spec", mapping(template.get("spec"))
    for cluster in platform.of_kind("postgresql.cnpg.io", "Cluster"):
        if part := mapping(cluster.spec.get("storage")):
            spec = {"storageClassName": part.get("storageClass"), **mapping(part.get("pvcTemplate"))}
            yield cluster, "spec.storage", spec
