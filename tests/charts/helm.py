"""Renders this repository's own charts with the real Helm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from lab import programs

CHARTS = Path(__file__).resolve().parents[2] / "charts"


class HelmError(AssertionError):
    """Helm refused a chart or its values."""


def run(*arguments: str, given: str = "") -> str:
    """What Helm prints.

    Raises:
        HelmError: with what it said instead.
    """
    helm = programs.ensure(["helm"])["helm"].path
    result = subprocess.run([str(helm), *arguments], input=given, capture_output=True, text=True, check=False)
    if result.returncode:
        raise HelmError(result.stderr or result.stdout)
    return result.stdout


def rendered(chart: str, values: dict[str, Any], name: str = "powerdns") -> list[dict[str, Any]]:
    """Every object of a release of `charts/<chart>`, its tests included."""
    text = run("template", name, str(CHARTS / chart), "--namespace", "dns", "-f", "-", given=yaml.safe_dump(values))
    return [document for document in yaml.safe_load_all(text) if document]
