"""What each stack of the repository makes: a digest of every resource and object, in one file a stack.

A change of the program that changes what a cluster becomes changes a line here, so that a review sees it, and one that
was not meant to, such as a move of code, fails a test. Whether what is made is right is asked elsewhere: by the checks,
and by the tests that look at one value and say why.

`python -m tests.made.digests` writes the files anew. `python -m tests.made.digests prod 'ConfigMap dns/powerdns'` shows
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

from checks.examination import STACKS, platforms
from checks.graph import Graph, Node
from checks.model.building import Sources
from checks.model.objects import Object
from checks.model.platform import ROOT, Platform
from lab import programs

FOLDER = Path(__file__).parent
_NOT_MADE = ("sourcePosition", "stackTrace")
"""Fields of a registration: where in the program it was made."""


@cache
def made(stack: str) -> Mapping[str, Any]:
    """What every line of a stack's file stands for, without anything that a run or a machine decides."""
    tools = {name: found.path for name, found in programs.ensure(programs.CHECKS).items()}
    [platform] = platforms([stack], Sources(ROOT, tools["helm"], tools["manifests"]))
    return {**_resources(platform.graph), **_objects(platform)}


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


def digests(stack: str) -> dict[str, str]:
    """The lines of a stack's file."""
    return {name: _digest(what) for name, what in sorted(made(stack).items())}


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()[:12]


def kept(stack: str) -> dict[str, str]:
    """The lines of a stack's file as they are in the repository."""
    found: dict[str, str] = yaml.safe_load((FOLDER / f"{stack}.yaml").read_text())
    return found


def main(arguments: list[str]) -> int:
    """Write the files, or show what one line stands for."""
    if arguments:
        stack, name = arguments
        print(json.dumps(made(stack)[name], indent=2, sort_keys=True, default=str))
        return 0
    for stack in STACKS:
        (FOLDER / f"{stack}.yaml").write_text(yaml.safe_dump(digests(stack), width=1000))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
