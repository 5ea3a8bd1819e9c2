"""A value of a chart is said in `charts/values/` or by a component: where both do, the file's has no effect."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

Place = tuple[str, tuple[str, ...]]
"""A name in a function, and the keys below it."""


def place(node: ast.expr) -> Place | None:
    """What `name["a"]["b"]` stands for."""
    keys: list[str] = []
    while isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        keys.insert(0, str(node.slice.value))
        node = node.value
    return (node.id, tuple(keys)) if isinstance(node, ast.Name) and keys else None


def loaded(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Names in a function that hold the values of a release, with the release's name."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target, call = node.targets[0] if isinstance(node, ast.Assign) else node.target, node.value
        if isinstance(target, ast.Name) and isinstance(call, ast.Call) and call.args:
            named = call.args[0]
            if isinstance(call.func, ast.Name) and call.func.id == "values" and isinstance(named, ast.Constant):
                yield target.id, str(named.value)


def replaced(function: ast.FunctionDef) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Values of a release that a function sets without ever reading what was there."""
    releases = dict(loaded(function))
    places = [(node, place(node)) for node in ast.walk(function) if isinstance(node, ast.Subscript)]
    read = {at for node, at in places if isinstance(node.ctx, ast.Load)}
    read |= {place(node.target) for node in ast.walk(function) if isinstance(node, ast.AugAssign)}
    for node, at in places:
        if at is not None and at[0] in releases and isinstance(node.ctx, ast.Store) and at not in read:
            yield releases[at[0]], at[1]


REPLACED = sorted(
    {
        one
        for file in (ROOT / "components").rglob("*.py")
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef)
        for one in replaced(function)
    }
)


@pytest.mark.parametrize(
    ("release", "keys"), REPLACED, ids=lambda part: part if isinstance(part, str) else ".".join(part)
)
def test_what_a_component_sets_is_not_in_the_file_too(release: str, keys: tuple[str, ...]) -> None:
    said: Any = yaml.safe_load((ROOT / "charts/values" / f"{release}.yaml").read_text(encoding="utf-8"))
    for key in keys[:-1]:
        said = said.get(key) if isinstance(said, dict) else None
    assert keys[-1] not in (said or {}), "take it out of one of the two"


def test_values_that_components_set_were_found() -> None:
    assert ("cilium", ("k8sServicePort",)) in REPLACED
