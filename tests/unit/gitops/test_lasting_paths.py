"""Where applications of the app chart keep what they are told to keep: not where a restart empties it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest

from checks.gitops.tree import releases

MAY_BE_LOST = {
    "HOME",
    "XDG_CACHE_HOME",
    "GIT_CONFIG_GLOBAL",
    "RCLONE_CONFIG",
    "RCLONE_CACHE_DIR",
}
"""Variables for what a program makes again: caches, and configuration that it writes at each start."""

BEGIN_ANEW = {"firecrawl-stores PGDATA"}
"""Stores that are made anew with each pod: of Firecrawl, the jobs that are under way."""

EMPTIED = "emptyDir"


def variables(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Those of all containers that are paths."""
    for controller in values["controllers"].values():
        for kind in ("initContainers", "containers"):
            for container in (controller.get(kind) or {}).values():
                for name, value in (container.get("env") or {}).items():
                    if isinstance(value, str) and value.startswith("/"):
                        yield name, value


def mounts(values: dict[str, Any]) -> Iterator[tuple[PurePosixPath, str]]:
    """Where something is mounted, and what."""
    for volume in (values.get("persistence") or {}).values():
        advanced = [one for by in (volume.get("advancedMounts") or {}).values() for ones in by.values() for one in ones]
        for mount in (*(volume.get("globalMounts") or []), *advanced):
            yield PurePosixPath(mount["path"]), volume["type"]


CASES = {
    f"{release.name} {name}": (value, dict(mounts(release.values)))
    for release in releases()
    if "controllers" in release.values
    for name, value in variables(release.values)
    if name not in MAY_BE_LOST and f"{release.name} {name}" not in BEGIN_ANEW
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_made_again_is_not_where_a_restart_empties_it(case: str) -> None:
    value, there = CASES[case]
    path = PurePosixPath(value)
    above = [place for place in there if path.is_relative_to(place)]
    below = [place for place in there if place.is_relative_to(path)]
    assert above or below, f"nothing is mounted at {value}, and the root file system is read-only"
    if above:
        assert there[max(above, key=lambda place: len(place.parts))] != EMPTIED


def test_paths_are_looked_at_in_several_applications() -> None:
    assert {"syncthing STHOMEDIR", "webhook-inbox INBOX_FILE"} <= set(CASES)
