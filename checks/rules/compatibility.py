"""Whether the versions that are pinned were made for each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from checks.model.objects import mapping
from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule

_COMPATIBILITY = Path(__file__).parent / "compatibility.yaml"


@cache
def _compatibility() -> dict[str, Any]:
    return dict(yaml.safe_load(_COMPATIBILITY.read_text()))


@rule(
    "compatibility",
    title="The versions fit each other",
    why="A program that was never tried with this Kubernetes may refuse to start, or use an API that is gone.",
    remedy="Choose versions that checks/rules/compatibility.yaml has together, or add what the publisher says.",
    fast=True,
)
def compatible(platform: Platform) -> Iterator[Finding]:
    """Charts and Talos against the version of Kubernetes."""
    versions = mapping(platform.settings.get("versions"))
    kubernetes = _minor(str(versions.get("kubernetes") or ""))
    if kubernetes is None:
        return
    for name, version in [
        ("talos", str(versions.get("talos"))),
        *((one.chart, one.version) for one in platform.releases),
    ]:
        for entry in _compatibility().get(name, []):
            least, most = entry["kubernetes"]
            if version.removeprefix("v").startswith(str(entry["version"])) and not least <= kubernetes <= most:
                problem = (
                    f"{name} {version} supports Kubernetes 1.{least} to 1.{most}, and versions.kubernetes is "
                    f"{versions.get('kubernetes')} ({entry['source']})"
                )
                yield finding("the settings", "versions.kubernetes", problem, f"Pulumi.{platform.stack}.yaml")


def _minor(version: str) -> int | None:
    match = re.match(r"v?1\.(\d+)\.", version)
    return int(match.group(1)) if match else None
