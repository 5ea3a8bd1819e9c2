"""What the program makes: a digest of every resource and object, in one file for each set of settings.

A change of the program that changes what a cluster becomes changes a line here, so that a review sees it, and one that
was not meant to, such as a move of code, fails a test. Whether what is made is right is asked elsewhere: by the checks,
and by the tests that look at one value and say why. No stack file that a site edits is among the settings.

Two sets are recorded line by line. Others, for what those leave out, are in `variants.yaml`: the components of the
first of them, and of each further one those that it makes different.

`python -m tests.made.digests` writes the files anew. `python -m tests.made.digests lab 'ConfigMap dns/powerdns'` shows
what one of their lines stands for; the whole difference to another commit is what `make lab-preview` and the comment on
a pull request show.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.json_format import MessageToDict

from checks.graph import Graph, Node
from checks.model import records
from checks.model.building import Sources, build
from checks.model.objects import Object
from checks.model.platform import ROOT, Platform
from checks.program import Change, recorded_with_settings
from lab import programs
from tests import sites
from tests.unit.settings import fixtures

FOLDER = Path(__file__).parent
VARIED = FOLDER / "variants.yaml"
_NOT_MADE = ("sourcePosition", "stackTrace")
"""Fields of a registration: where in the program it was made."""


def _instead(of: Mapping[str, Any]) -> Change:
    """Takes these settings in place of the lab's."""

    def change(settings: dict[str, Any]) -> None:
        settings.clear()
        settings.update(of)

    return change


SETTINGS: Mapping[str, Change | None] = {
    "lab": None,
    # A site that says no more than it has to, with applications.
    "plain": _instead(fixtures.BASE | {"gitops": {"seed": "https://git.example.org/homelab.git"}}),
}
"""By the name of its file, how each set of settings is made of the lab's."""

_ACCEPTED = (
    *("chart-mirror-registry", "edge-with-everything", "edge-without-a-tailnet", "extensions-off", "host-entries"),
    *("kernel-arguments", "longhorn-v2-with-workers", "oldest-supported-kubernetes"),
    *("registry-mirrors", "rotated-secret", "snapshots-as-root", "tailscale", "users"),
)
"""Those of `tests/unit/settings/accepted/` by which components become different."""

FIRST = "defaults"

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    FIRST: fixtures.BASE,
    **{name: fixtures.changed(fixtures.read(fixtures.HERE / "accepted" / f"{name}.yaml")) for name in _ACCEPTED},
    **{f"site-{name}": sites.settings(name) for name in sites.SITES},
}
"""The settings of each variant, that of `FIRST` without any that need not be given."""


@cache
def made(name: str) -> Mapping[str, Any]:
    """What every line of a file stands for, without anything that a run or a machine decides."""
    tools = {tool: found.path for tool, found in programs.ensure(programs.CHECKS).items()}
    known = records.read(ROOT / "charts" / "records")
    graph, settings = recorded_with_settings("lab", change=SETTINGS[name])
    platform = build("lab", graph, settings, known, Sources(ROOT, tools["helm"], tools["manifests"]))
    return {**_resources(graph), **_objects(platform)}


def _resources(graph: Graph) -> dict[str, Any]:
    return {f"{node.type} {node.name}": _resource(node) for node in graph.resources(custom=None)}


def _resource(node: Node) -> dict[str, Any]:
    request = MessageToDict(node.request)
    return {
        **{field: value for field, value in request.items() if field not in _NOT_MADE},
        "dependencies": node.dependencies,
        "propertyDependencies": node.property_dependencies,
        "outputs": node.outputs,
    }


def _objects(platform: Platform) -> dict[str, Any]:
    """What others than the program make of it."""
    found: dict[str, list[Any]] = {}
    for thing in platform.objects:
        if thing.manager.system != "pulumi":
            found.setdefault(str(thing.identity), []).append(_object(thing))
    return dict(found)


def _object(thing: Object) -> dict[str, Any]:
    return {"manager": str(thing.manager), "content": thing.content}


@cache
def varied(name: str) -> Mapping[str, str]:
    """The lines of a variant: a digest of all that is made by each component that is in no other."""
    here = _by_component(recorded_with_settings("lab", change=_instead(VARIANTS[name]))[0])
    first = {} if name == FIRST else varied(FIRST)
    changed = {line: digest for line, digest in here.items() if first.get(line) != digest}
    return changed | {line: "none" for line in first if line not in here}


def _by_component(graph: Graph) -> dict[str, str]:
    [stack] = graph.of_type("pulumi:pulumi:Stack")
    found: dict[str, dict[str, Any]] = {}
    for node in graph.resources(custom=None):
        outermost = node
        while outermost.parent not in ("", stack.urn):
            outermost = graph[outermost.parent]
        found.setdefault(f"{outermost.type} {outermost.name}", {})[node.urn] = _resource(node)
    return {outermost: _digest(inside) for outermost, inside in sorted(found.items())}


def digests(name: str) -> dict[str, str]:
    """The lines of a file."""
    return {line: _digest(what) for line, what in sorted(made(name).items())}


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:12]


def kept(name: str) -> dict[str, Any]:
    """The lines of a file as they are in the repository."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def main(arguments: list[str]) -> int:
    """Write the files, or show what one line stands for."""
    if arguments:
        name, line = arguments
        print(json.dumps(made(name)[line], indent=2, sort_keys=True, default=str))
        return 0
    for name in SETTINGS:
        (FOLDER / f"{name}.yaml").write_text(yaml.safe_dump(digests(name), width=1000))
    VARIED.write_text(yaml.safe_dump({name: dict(varied(name)) for name in VARIANTS}, width=1000))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
