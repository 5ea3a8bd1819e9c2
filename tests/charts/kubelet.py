"""What a kubelet makes of a command before a container runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def expanded(command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[str]:
    """The command, arguments or probe command as the container gets it.

    `$(NAME)` becomes the value of a variable that the container has, and stays as it is for any other name; `$$`
    becomes `$`. Source: https://github.com/kubernetes/kubernetes/blob/v1.36.0/third_party/forked/golang/expansion/expand.go
    """
    known = environment or {}

    def value(found: re.Match[str]) -> str:
        return "$" if found.group() == "$$" else known.get(found.group(1), found.group())

    return [re.sub(r"\$\$|\$\(([^)]*)\)", value, part) for part in command]


def commands(value: Any) -> Iterator[list[str]]:
    """Every command and list of arguments in an object, probes and lifecycle hooks included."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("command", "args") and isinstance(inner, list):
                yield [str(part) for part in inner]
            else:
                yield from commands(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from commands(inner)


def pods(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every pod's spec in an object."""
    if isinstance(value, Mapping):
        if isinstance(value.get("containers"), list):
            yield value
        for inner in value.values():
            yield from pods(inner)


def deaf(pod: Mapping[str, Any]) -> list[str]:
    """Names of containers whose own command would be process 1 and is told to end by nothing but TERM.

    The kernel does not deliver a signal to process 1 for which it has no handler (man 7 pid_namespaces), and a program
    that we start ourselves is taken to have none. An image's own entry point is its publisher's.
    """
    if pod.get("shareProcessNamespace"):
        return []
    return [
        str(container["name"])
        for container in pod["containers"]
        if container.get("command") and not (container.get("lifecycle") or {}).get("preStop")
    ]


def loses_a_dollar(command: Sequence[str]) -> bool:
    """Whether a kubelet hands on fewer dollar signs than were written; `$$$$`, which asks for two, is meant."""
    return any("$$" in part.replace("$$$$", "") for part in command)
