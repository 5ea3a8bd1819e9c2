"""Reloader: a workload's pods are made anew when a Secret that it names gets other data, or comes after it.

After ShouldReload in pkg/common/common.go and updateContainerEnvVars in internal/pkg/handler/upgrade.go of
stakater/Reloader 1.4, with what charts/values/reloader.yaml chooses: strategy `env-vars`, and Secrets that come later
count as changed. ConfigMaps are left out, as nothing in the platform names one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lab.operators.world import Kind, Object, Outcome, Rule, World, key

OPERATOR = "reloader-reloader"

_SECRETS = "secret.reloader.stakater.com/reload"
_AUTOMATIC = ("secret.reloader.stakater.com/auto", "reloader.stakater.com/auto")
_IGNORED = "reloader.stakater.com/ignore"
_OWN_NAMESPACE = "KUBERNETES_NAMESPACE"
"""The variable that Reloader's chart gives it unless it is to watch all namespaces."""

_WATCH_GLOBALLY = "WATCH_GLOBALLY"
"""The same in the lab's chart."""


def variable(name: str) -> str:
    """The environment variable in which a container has the hash of a Secret."""
    return f"STAKATER_{re.sub('[^A-Z0-9]+', '_', name.upper()).removeprefix('_')}_SECRET"


def digest(secret: Object) -> str:
    """The hash of a Secret's data."""
    data = {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}
    lines = sorted(name.encode() + b"=" + value for name, value in data.items())
    return hashlib.sha1(b";".join(lines), usedforsecurity=False).hexdigest()


def _workload(item: Object, world: World) -> Outcome | None:
    annotations = _annotations(item)
    if not annotations or not _watches(world, key(item)[0]):
        return None
    pod = item["spec"]["template"]["spec"]
    containers = [dict(each) for each in pod["containers"]]
    for secret in _changed(item, world):
        named = _names(annotations.get(_SECRETS, ""), secret["metadata"]["name"])
        if named or any(annotations.get(each) == "true" for each in _AUTOMATIC):
            place = _reader(pod, secret["metadata"]["name"], named=named)
            if place is not None:
                _put(containers[place], variable(secret["metadata"]["name"]), digest(secret))
    if containers == pod["containers"]:
        return None
    return Outcome(spec={"template": {**item["spec"]["template"], "spec": {**pod, "containers": containers}}})


def _annotations(item: Object) -> Mapping[str, str]:
    """Those of the workload that are Reloader's, else those of its pods."""
    template = item.get("spec", {}).get("template", {})
    for metadata in (item["metadata"], template.get("metadata") or {}):
        found = metadata.get("annotations") or {}
        if any(name in found for name in (_SECRETS, *_AUTOMATIC)):
            return dict(found)
    return {}


def _watches(world: World, namespace: str) -> bool:
    """Whether Reloader looks at a namespace."""
    operator = world.operator(OPERATOR)
    if operator is None:
        return False
    pod = operator.get("spec", {}).get("template", {}).get("spec", {})
    variables = {each["name"]: each.get("value") for one in pod.get("containers", ()) for each in one.get("env") or []}
    everywhere = _OWN_NAMESPACE not in variables and variables.get(_WATCH_GLOBALLY, "true") == "true"
    return everywhere or namespace == key(operator)[0]


def _changed(item: Object, world: World) -> Iterator[Object]:
    """The Secrets of its namespace that came, or changed, after the workload."""
    for secret in world.all("Secret"):
        ignored = (secret["metadata"].get("annotations") or {}).get(_IGNORED) == "true"
        if key(secret)[0] == key(item)[0] and not ignored and world.younger(secret, item):
            yield secret


def _names(annotation: str, name: str) -> bool:
    """Whether the annotation, a list of regular expressions, names a Secret."""
    return any(re.fullmatch(each.strip(), name) for each in annotation.split(",") if each.strip())


def _reader(pod: Mapping[str, Any], name: str, *, named: bool) -> int | None:
    """The place of the container that gets the variable: one that reads the Secret, else the first if it was `named`.

    For an init container that reads it, the first one gets it too.
    """
    volumes = {each["name"] for each in pod.get("volumes") or [] if name in _of_volume(each)}
    for containers, first in ((pod["containers"], False), (pod.get("initContainers") or [], True)):
        for number, container in enumerate(containers):
            if volumes & {each["name"] for each in container.get("volumeMounts") or []} or name in _of_env(container):
                return 0 if first else number
    return 0 if named else None


def _of_volume(volume: Mapping[str, Any]) -> set[str]:
    projected = [each.get("secret") or {} for each in (volume.get("projected") or {}).get("sources") or []]
    return {(volume.get("secret") or {}).get("secretName", ""), *(each.get("name", "") for each in projected)}


def _of_env(container: Mapping[str, Any]) -> set[str]:
    single = [(each.get("valueFrom") or {}).get("secretKeyRef") or {} for each in container.get("env") or []]
    whole = [each.get("secretRef") or {} for each in container.get("envFrom") or []]
    return {each.get("name", "") for each in (*single, *whole)}


def _put(container: dict[str, Any], name: str, value: str) -> None:
    """Give a container a variable, in the place in which it had one of this name."""
    variables = {each["name"]: each for each in container.get("env") or []}
    container["env"] = list({**variables, name: {"name": name, "value": value}}.values())


DEPLOYMENT, STATEFUL_SET, DAEMON_SET = (
    Kind("Deployment", "apps/v1", "deployments"),
    Kind("StatefulSet", "apps/v1", "statefulsets"),
    Kind("DaemonSet", "apps/v1", "daemonsets"),
)

RULES = tuple(Rule(kind, OPERATOR, _workload) for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET))
