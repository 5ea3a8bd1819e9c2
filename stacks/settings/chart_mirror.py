"""Whether a directory with charts has what the program takes from it.

Owns that one look at the machine's files, which a stack file's values alone do not answer. Does not own how a chart is
found (`components.kit.chart`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.kit import versions
from components.kit.chart import ChartError, in_directory
from components.kit.versions import ChartPin
from stacks.settings.errors import path
from stacks.settings.model import Settings


def charts(settings: Settings) -> list[ChartPin]:
    """The charts that the program installs with these settings, besides its own."""
    optional = {
        versions.LONGHORN: settings.features.longhorn_v2,
        versions.SNAPSHOT_CONTROLLER: settings.storage.snapshots,
    }
    pins = [pin for pin in vars(versions).values() if isinstance(pin, ChartPin)]
    return [pin for pin in pins if optional.get(pin, True)]


def check(settings: Settings) -> Iterator[str]:
    """A finding for each chart that is not in the directory `charts.mirror`, or is there in another version only."""
    mirror = settings.charts.mirror
    if mirror is None or "://" in mirror:
        return
    place = path(("charts", "mirror"))
    try:
        directory = Path(mirror).expanduser()
        there = directory.is_dir()
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "there is no such user"
        yield f"{place}: {mirror[:100]!r} cannot be looked into ({reason}); correct the path, or its permissions"
        return
    if not there:
        yield (
            f"{place}: there is no directory {directory.absolute()}; correct the path, create it and fill it with "
            "`helm pull`, or omit the key to use each chart's own repository"
        )
        return
    for pin in charts(settings):
        try:
            in_directory(directory, pin)
        except ChartError as error:
            yield f"{place}: {error}"
