"""Where this repository keeps what Kubernetes is given as text."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT

_ELSEWHERE = {"lab", "schemas", "tests", "checks"}
"""Folders whose YAML is of the lab, of tests and of checks, and reaches no cluster of a site."""


def manifests() -> list[Path]:
    """Every folder of the repository with text for Kubernetes; never none, so that a search there looks at something.

    Raises AssertionError where there is none.
    """
    folders = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [path for path in folders if path.name not in _ELSEWHERE and any(path.rglob("*.yaml"))]
    assert ROOT / "charts" in found
    return sorted(found)
