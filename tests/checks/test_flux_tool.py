"""The program in lab/manifests, asked again and again: it uses what it kept only while the files are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from checks.model.flux_tool import ask
from tests.checks.platforms import tools

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  value: {value}\n"
FILES = {
    "a/kustomization.yaml": "resources: [map.yaml]\ncomponents: [../shared]\n",
    "a/map.yaml": MAP.format(name="own", value="one"),
    "shared/kustomization.yaml": (
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [map.yaml]\n"
    ),
    "shared/map.yaml": MAP.format(name="shared", value="${given}"),
}


def write(tree: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = tree / "gitops" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def made(tree: Path, given: str = "first", **spec: Any) -> dict[str, str]:
    """What the program says is in each ConfigMap."""
    root = {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "a", "namespace": "flux-system"},
        "spec": {"path": "./gitops/a", "postBuild": {"substitute": {"given": given}}, **spec},
    }
    [built] = ask(tools()["manifests"], {"tree": str(tree), "parts": ["gitops"], "roots": [root]})["kustomizations"]
    assert not built["error"]
    return {one["object"]["metadata"]["name"]: one["object"]["data"]["value"] for one in built["objects"]}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(tmp_path, FILES)
    assert made(tmp_path) == {"own": "one", "shared": "first"}
    return tmp_path


def another_value(tree: Path) -> None:
    write(tree, {"shared/map.yaml": MAP.format(name="shared", value="two")})


def one_more_file(tree: Path) -> None:
    write(tree, {"a/more.yaml": MAP.format(name="more", value="three")})
    write(tree, {"a/kustomization.yaml": "resources: [map.yaml, more.yaml]\ncomponents: [../shared]\n"})


def without_a_list(tree: Path) -> None:
    """Then Flux takes every file of the directory."""
    (tree / "gitops/a/kustomization.yaml").unlink()
    write(tree, {"a/more.yaml": MAP.format(name="more", value="three")})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (another_value, {"own": "one", "shared": "two"}),
        (one_more_file, {"own": "one", "more": "three", "shared": "first"}),
        (without_a_list, {"own": "one", "more": "three"}),
    ],
)
def test_a_changed_tree_is_built_anew(tree: Path, change: Callable[[Path], None], expected: dict[str, str]) -> None:
    change(tree)
    assert made(tree) == expected


def test_other_variables_are_filled_into_what_was_kept(tree: Path) -> None:
    assert made(tree, given="second")["shared"] == "second"
    assert made(tree)["shared"] == "first"


def test_what_a_kustomization_itself_changes_is_not_kept_for_another(tree: Path) -> None:
    assert set(made(tree, namePrefix="x-")) == {"x-own", "x-shared"}
    assert set(made(tree)) == {"own", "shared"}


def test_a_tree_elsewhere_with_other_content_is_another_tree(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, FILES | {"a/map.yaml": MAP.format(name="own", value="other")})
    assert made(elsewhere)["own"] == "other"
    assert made(tree)["own"] == "one"


def test_what_the_program_says_when_it_ends_is_in_the_error(tmp_path: Path) -> None:
    broken = tmp_path / "manifests"
    broken.write_text("#!/bin/sh\necho no such schema >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ValueError, match="manifests: no such schema"):
        ask(broken, {})


def test_an_answer_that_is_an_error_is_raised_and_the_next_question_is_answered(tree: Path) -> None:
    with pytest.raises(ValueError, match="manifests: "):
        ask(tools()["manifests"], {"tree": str(tree / "missing"), "parts": ["gitops"], "roots": []})
    assert made(tree)["own"] == "one"
