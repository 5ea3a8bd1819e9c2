"""Times at which something runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.model.objects import items, mapping
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


_LOOKS = 10
"""Seconds between two looks of the controller; one whose deadline is shorter may never see a start in time
(https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#starting-deadline)."""


@rule(
    "schedule-missed",
    title="A CronJob can be started late",
    why="Its controller looks every ten seconds, and takes a start that is later than the deadline for missed.",
    remedy="Give startingDeadlineSeconds of 10 or more, best some minutes.",
)
def deadlines(platform: Platform) -> Iterator[Finding]:
    """CronJobs whose starts the controller would miss."""
    for job in platform.of_kind("batch", "CronJob"):
        seconds = job.spec.get("startingDeadlineSeconds")
        if isinstance(seconds, (int, float)) and seconds < _LOOKS:
            problem = f"is {seconds:.0f}: the controller looks every {_LOOKS} seconds"
            yield finding(job, "spec.startingDeadlineSeconds", problem, job.where)


@rule(
    "schedule-overlap",
    title="Two runs of a CronJob never write to one volume",
    why="Each deletes or overwrites what the other one has not finished.",
    remedy="Set concurrencyPolicy to Forbid.",
)
def overlaps(platform: Platform) -> Iterator[Finding]:
    """CronJobs with a claim that may run twice at the same time."""
    for pods in platform.pods:
        job = pods.of
        policy = str(job.spec.get("concurrencyPolicy") or "Allow")
        if job.kind != "CronJob" or policy != "Allow":
            continue
        volumes = items(pods.spec.get("volumes"))
        claims = [mapping(volume.get("persistentVolumeClaim")).get("claimName") for volume in volumes]
        if known := [str(name) for name in claims if name]:
            problem = f"is {policy}, and its pods write to the claim {known[0]}"
            yield finding(job, "spec.concurrencyPolicy", problem, job.where)
