"""What a program in a container holds its own memory to: below the container's limit, at which the kernel ends it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

UNITS = {"": 1, "Mi": 2**20, "Gi": 2**30, "MiB": 2**20, "GiB": 2**30, "mb": 2**20, "gb": 2**30}
"""Those of Kubernetes, of Go's GOMEMLIMIT, and of Valkey."""


def size(text: object) -> int:
    found = re.fullmatch(r"(\d+)(\w*)", str(text))
    assert found, f"{text!r} is no size"
    return int(found[1]) * UNITS[found[2]]


def maps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from maps(inner)


def own_limits(container: dict[str, Any]) -> Iterator[int]:
    """Of Go's runtime, of Node's heap and of Valkey, as a container or the values of a chart have them."""
    env = container.get("env") or {}
    variables = env if isinstance(env, dict) else {one["name"]: one.get("value") for one in env}
    if "GOMEMLIMIT" in variables:
        yield size(variables["GOMEMLIMIT"])
    words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
    yield from (size(f"{word.partition('=')[2]}Mi") for word in words if word.startswith("--max-old-space-size="))
    yield from (size(value) for option, value in pairwise(words) if option == "--maxmemory")


def limited(file: Path) -> list[tuple[int, int]]:
    """The program's own limit and the container's, of each container in a file that has both."""
    return [
        (own, size(limit))
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
        for one in maps(document)
        if isinstance(one.get("resources"), dict)
        and (limit := (one["resources"].get("limits") or {}).get("memory")) is not None
        for own in own_limits(one)
    ]


FILES = {
    str(file.relative_to(ROOT)): found
    for folder in ("charts/values", "gitops")
    for file in sorted((ROOT / folder).rglob("*.yaml"))
    if (found := limited(file))
}


@pytest.mark.parametrize("file", FILES)
def test_a_program_frees_memory_before_it_is_ended_for_it(file: str) -> None:
    assert [f"{own} of {limit}" for own, limit in FILES[file] if own > 0.95 * limit] == []


def test_what_is_known_to_hold_itself_to_a_limit_is_looked_at() -> None:
    assert {"charts/values/coredns.yaml", "gitops/firecrawl/release.yaml", "gitops/firecrawl/stores.yaml"} <= set(FILES)
