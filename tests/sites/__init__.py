"""Seven sites that differ as home labs do: their stack files are looked at by the graph's tests, and rehearsed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stacks.settings import stack_file
from stacks.settings.credentials import PREFIX

SITES = {file.stem: file for file in sorted(Path(__file__).resolve().parent.glob("*.yaml"))}
"""The stack file of each site by its name."""


def settings(name: str) -> dict[str, Any]:
    """The settings of a site as its file has them, by key without `homelab:`."""
    config = stack_file.parse(SITES[name].read_text(encoding="utf-8"))["config"]
    return {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
