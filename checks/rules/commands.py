"""Commands of containers: what they start is in the image."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from checks.model.objects import mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule

_FACTS = Path(__file__).parent / "without_shell.yaml"
_SHELLS = frozenset({"sh", "ash", "bash", "dash", "zsh"})


@rule(
    "no-shell",
    title="A container that starts a shell has an image with one",
    why="The container does not start: exec: no such file or directory.",
    remedy="Start the program itself, and give it what it needs by arguments and variables.",
)
def shells(platform: Platform) -> Iterator[Finding]:
    """Commands, probes and hooks that call a shell in an image known to have none."""
    for one in platform.pods:
        for place, container in one.containers():
            image = str(container.get("image") or "")
            source = _without_shell(image)
            for field, command in _commands(container) if source else ():
                if command and PurePosixPath(str(command[0])).name in _SHELLS:
                    problem = f"starts {command[0]}, and {image} has no shell: {source}"
                    yield finding(one.of, f"{place}.{field}", problem, one.of.where)


def _commands(container: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    yield "command", container.get("command") or []
    holders = [(field, mapping(container.get(field))) for field in ("livenessProbe", "readinessProbe", "startupProbe")]
    holders += [
        (f"lifecycle.{field}", mapping(mapping(container.get("lifecycle")).get(field)))
        for field in ("postStart", "preStop")
    ]
    for field, holder in holders:
        yield f"{field}.exec.command", mapping(holder.get("exec")).get("command") or []


def _without_shell(image: str) -> str:
    """What says that an image has no shell; empty where nothing does."""
    if "debug" in image.rpartition(":")[2]:
        return ""
    return next((source for name, source in _facts().items() if image.startswith(name)), "")


@cache
def _facts() -> dict[str, str]:
    return dict(yaml.safe_load(_FACTS.read_text()))
