"""The platform as one page for a browser: what there is, by subject and application, and what needs what.

The page (`picture.html`) holds everything itself and asks no server. It shows names, fields and places, never values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from checks.model.objects import Object
from checks.model.platform import Platform
from checks.report import shown
from checks.rules.rule import Finding

_PAGE = Path(__file__).with_name("picture.html")
_DATA = "/*DATA*/"

COLUMNS = (
    *(
        "kubernetes",
        "proxmox",
        "talos",
        "network",
        "ingress",
        "storage",
        "certificates",
        "secrets",
        "database",
        "vault",
        "dns",
    ),
    *("identity", "edge", "gitops", "applications"),
)
"""The subjects of components, in about the order in which they come to exist, and what Flux applies."""


@dataclass(frozen=True)
class Drawing:
    """What the page shows of one stack, but the findings."""

    objects: list[list[str]]
    """Each one's name, subject, component or application, manager, and place."""
    needs: list[list[int | str]]
    """The number of one that needs, of one that is needed (or what it would be called), and the field."""


def page(drawings: Mapping[str, Drawing], findings: Sequence[Finding]) -> str:
    """The page for some stacks, by their names."""
    stacks = {
        stack: {
            "objects": drawing.objects,
            "needs": drawing.needs,
            "findings": [_shown(one) for one in findings if not one.stacks or stack in one.stacks],
        }
        for stack, drawing in drawings.items()
    }
    # A script ends at its end tag, whatever text that stands in.
    data = json.dumps({"columns": COLUMNS, "stacks": stacks}).replace("</", "<\\/")
    return _PAGE.read_text(encoding="utf-8").replace(_DATA, data)


def _shown(finding: Finding) -> dict[str, str]:
    text = f"{finding.rule}: {finding.object} {finding.field} {finding.problem}"
    return {"text": text, "object": finding.object}


def drawing_of(platform: Platform) -> Drawing:
    """What the page shows of a platform."""
    number = {id(thing): place for place, thing in enumerate(platform.objects)}
    needs: list[list[int | str]] = []
    for thing, need in platform.needs:
        made = platform.find(need.group, need.kind, need.namespace, need.name)
        needs.append([number[id(thing)], number[id(made[0])] if made else str(need), need.field])
    objects = []
    for thing in platform.objects:
        column, box = group_of(platform, thing)
        manager = f"release {thing.release.namespace}/{thing.release.name}" if thing.release else str(thing.manager)
        objects.append([str(thing), column, box, manager, shown(thing.where)])
    return Drawing(objects, needs)


def group_of(platform: Platform, thing: Object) -> tuple[str, str]:
    """The subject and the component or application that an object belongs to."""
    while thing.origin is not None:
        thing = thing.origin
    manager = thing.release.manager if thing.release is not None else thing.manager
    if manager.system == "pulumi":
        types = manager.name.split("::")[2] if manager.name.count("::") > 1 else ""
        own = [part.split(":") for part in types.split("$") if part.startswith("homelab:") and part.count(":") == 2]
        return (own[0][1], own[0][2]) if own else ("gitops", manager.name.rpartition("::")[2])
    if manager.system == "flux":
        holder = platform.tree.of(thing) if platform.tree is not None else None
        return "applications", holder.name if holder is not None else manager.name
    return ("talos", "bootstrap") if manager.system == "talos" else ("kubernetes", "from the start")
