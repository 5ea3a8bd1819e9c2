"""Builds folders as Flux does, with the Kustomize in the lab's kubectl, and fills in their variables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab import programs

GITOPS = Path(__file__).resolve().parents[2] / "gitops"


class KustomizeError(AssertionError):
    """Kustomize refused a folder."""


def built(folder: Path, variables: Mapping[str, str] | None = None) -> dict[tuple[str, str], dict[str, Any]]:
    """The objects of a folder by kind and name; with variables, these are filled in, strictly.

    Raises:
        KustomizeError: with what it said instead.
        KeyError: a variable has no value.
    """
    kubectl = programs.ensure(["kubectl"])["kubectl"].path
    result = subprocess.run([str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise KustomizeError(result.stderr or result.stdout)
    text = result.stdout
    if variables is not None:
        text = re.sub(r"\$\{(\w+)\}", lambda found: variables[found.group(1)], text)
    items = [item for item in yaml.safe_load_all(text) if item]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}
