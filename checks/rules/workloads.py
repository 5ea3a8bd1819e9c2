"""Workloads: what the API server asks of a template of pods."""

from __future__ import annotations

from collections.abc import Iterator

from checks.model.objects import items, mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there


@rule(
    "own-pods",
    title="A workload selects the pods that it makes",
    why="The API server refuses it: `selector` does not match template `labels`.",
    remedy="Give the template the labels of spec.selector.matchLabels.",
)
def own(platform: Platform) -> Iterator[Finding]:
    """Workloads whose template lacks a label of their selector."""
    for pods in platform.pods:
        wanted = mapping(mapping(pods.of.spec.get("selector")).get("matchLabels"))
        if pods.of.kind in ("Deployment", "StatefulSet", "DaemonSet") and not wanted.items() <= pods.labels.items():
            shown = ", ".join(f"{key}={value}" for key, value in wanted.items())
            known = [f"{key}={value}" for key, value in pods.labels.items()]
            problem = f"is {shown}, and its template has other labels: {there(known, shown)}"
            yield finding(pods.of, "spec.selector.matchLabels", problem, pods.of.where)


@rule(
    "mounted-volume",
    title="A container mounts volumes that its pod has",
    why="The API server refuses the pod.",
    remedy="Name a volume of the pod, or add it.",
)
def mounts(platform: Platform) -> Iterator[Finding]:
    """Mounts of volumes that are neither the pod's nor a claim template's."""
    for pods in platform.pods:
        templates = items(pods.of.spec.get("volumeClaimTemplates"))
        known = {str(volume.get("name")) for volume in items(pods.spec.get("volumes"))}
        known |= {str(mapping(template.get("metadata")).get("name")) for template in templates}
        for place, container in pods.containers():
            for number, mount in enumerate(items(container.get("volumeMounts"))):
                name = str(mount.get("name"))
                if name not in known:
                    problem = f"is {name}, and the pod has no such volume: {there(known, name)}"
                    yield finding(pods.of, f"{place}.volumeMounts[{number}].name", problem, pods.of.where)
