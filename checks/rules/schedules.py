"""Times at which something runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.model.platform import Platform
from checks.rules.rule import Finding, finding, rule

_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
"""Minute, hour, day, month and day of the week."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {**{name: number for number, name in enumerate(_MONTHS, 1)}, **{day: n for n, day in enumerate(_DAYS)}}
_EVERY = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)")

_KINDS = (("batch", "CronJob", 5), ("postgresql.cnpg.io", "ScheduledBackup", 6))
"""Kinds with a schedule, and how many fields it has: that of a backup begins with the second
(https://cloudnative-pg.io/documentation/current/backup/#scheduled-backups)."""


@rule(
    "schedule",
    title="A schedule names times that there are",
    why="The API server, or the operator, refuses it: it never runs.",
    remedy="Give minute, hour, day, month and day of the week; for a backup the second before them.",
)
def schedules(platform: Platform) -> Iterator[Finding]:
    """Schedules that nothing can follow."""
    for group, kind, wanted in _KINDS:
        for thing in platform.of_kind(group, kind):
            text = str(thing.spec.get("schedule") or "")
            problem = _wrong(text, wanted)
            if problem:
                yield finding(thing, "spec.schedule", f"is {text or 'missing'}: {problem}", thing.where)


def _wrong(text: str, wanted: int) -> str:
    """What is wrong with a schedule; empty where nothing is."""
    if _EVERY.fullmatch(text.strip()):
        return ""
    fields = text.removeprefix("TZ=").split()
    if len(fields) != wanted:
        return f"it has {len(fields)} fields, and {wanted} are expected"
    ranges = ((0, 59), *_RANGES) if wanted == len(_RANGES) + 1 else _RANGES
    for field, (least, most) in zip(fields, ranges, strict=True):
        for part in field.split(","):
            match = re.fullmatch(r"(\*|\?|\w+)(?:-(\w+))?(?:/(\d+))?", part)
            ends = [_number(end) for end in (match.groups()[:2] if match else ()) if end not in (None, "*", "?")]
            if match is None or any(end is None or not least <= end <= most for end in ends):
                return f"{part} is not from {least} to {most}"
    return ""


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else _NAMES.get(str(text).lower())
