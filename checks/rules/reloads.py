"""Restarts on a change: what is watched for a workload is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule, there

_WATCHED = re.compile(r"(secret|configmap)\.reloader\.stakater\.com/reload:\s*[\"']?([\w.,-]+)")


@rule(
    "reloaded-name",
    title="What a workload is restarted for exists",
    why="Reloader watches what never changes: after a rotation the pods keep the old value.",
    remedy="Give the name of a Secret or ConfigMap in the workload's namespace.",
)
def watched(platform: Platform) -> Iterator[Finding]:
    """Names in Reloader's annotations that nothing makes and that the workload does not use."""
    for thing in platform.objects:
        if thing.kind == "CustomResourceDefinition" or "reloader.stakater.com/reload" not in str(thing.content):
            continue
        text = yaml.safe_dump(thing.content, width=10_000)
        found = {(kind, name) for kind, names in _WATCHED.findall(text) for name in names.split(",") if name}
        rest = _WATCHED.sub("", text)
        for kind, name in sorted(found):
            wanted = "Secret" if kind == "secret" else "ConfigMap"
            known = platform.named("", wanted, thing.namespace)
            # One that the workload names as optional may come later.
            if name not in known and not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", rest):
                yield finding(thing, _field(kind), f"names {wanted} {name}: {there(known, name)}", thing.where)


def _field(kind: str) -> str:
    return f"metadata.annotations[{kind}.reloader.stakater.com/reload]"
