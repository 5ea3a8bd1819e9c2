"""Reflector: copies of a Secret in the namespaces that its annotations name, as far as they exist.

After the annotations in the README of emberstack/kubernetes-reflector.
"""

from __future__ import annotations

from typing import Any

from lab.operators.world import Kind, Object, Outcome, Rule, World

_PREFIX = "reflector.v1.k8s.emberstack.com/"


def _secret(item: Object, world: World) -> Outcome | None:
    annotations = item["metadata"].get("annotations") or {}
    if annotations.get(f"{_PREFIX}reflection-auto-enabled") != "true":
        return None
    if annotations.get(f"{_PREFIX}reflection-allowed") != "true":
        return None
    allowed = annotations.get(f"{_PREFIX}reflection-allowed-namespaces", "").split(",")
    wanted = annotations.get(f"{_PREFIX}reflection-auto-namespaces", "").split(",")
    places = {name.strip() for name in wanted} & {name.strip() for name in allowed}
    return Outcome(makes=[_copy(item, name) for name in sorted(places) if world.find("Namespace", name)])


def _copy(item: Object, namespace: str) -> dict[str, Any]:
    origin = f"{item['metadata']['namespace']}/{item['metadata']['name']}"
    annotations = {f"{_PREFIX}auto-reflects": "True", f"{_PREFIX}reflects": origin}
    metadata = {"name": item["metadata"]["name"], "namespace": namespace, "annotations": annotations}
    made = {"apiVersion": "v1", "kind": "Secret", "type": item.get("type", "Opaque"), "metadata": metadata}
    return made | {"data": dict(item.get("data") or {})}


RULES = (Rule(Kind("Secret", "v1", "secrets"), "reflector", _secret),)
