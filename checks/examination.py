"""Puts the model of each stack together and asks every rule of it: the stacks side by side, each in its own process.

Owns no rule and no form of output. A stack's model stays in the process that built it; what others need of it is in
`Examined`.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from checks.model import records
from checks.model.building import Sources, build
from checks.model.platform import Platform
from checks.picture import Drawing, drawing_of
from checks.program import recorded_with_settings
from checks.rules.all import RULES
from checks.rules.rule import Finding

STACKS = ("lab", "prod")
"""Those of the repository."""


@dataclass(frozen=True)
class Examined:
    """What is known of one stack after every rule was asked."""

    stack: str
    objects: int
    releases: int
    absent: frozenset[str]
    """Which charts nobody had, so that it is not known what they make."""
    findings: list[Finding]
    seconds: dict[str, float]
    """How long each rule took."""
    drawing: Drawing | None = None
    """For the picture, where one is wanted."""


def platforms(stacks: Iterable[str], sources: Sources) -> list[Platform]:
    """The model of each stack, for who asks it in this process."""
    known = records.read(sources.root / "charts" / "records")
    found = []
    for stack in stacks:
        graph, settings = recorded_with_settings(stack)
        found.append(build(stack, graph, settings, known, sources))
    return found


def examined(stack: str, sources: Sources, *, draw: bool = False) -> Examined:
    """Build the model of one stack, and ask every rule of it."""
    [platform] = platforms([stack], sources)
    findings, seconds = list[Finding](), dict[str, float]()
    for rule in RULES.values():
        start = time.perf_counter()
        findings += rule.findings(platform)
        seconds[rule.id] = time.perf_counter() - start
    return Examined(
        stack,
        len(platform.objects),
        len(platform.releases),
        frozenset(problem.message for problem in platform.chart_problems if problem.kind == "absent"),
        findings,
        seconds,
        drawing_of(platform) if draw else None,
    )


def examined_together(stacks: Sequence[str], sources: Sources, *, draw: bool = False) -> list[Examined]:
    """Each stack, in as many processes as there are processors: a stack takes seconds, all of them Python's own.

    Raises:
        ValueError: one of them could not be examined.
    """
    work = partial(examined, sources=sources, draw=draw)
    processes = min(len(stacks), os.cpu_count() or 1)
    if processes == 1:
        return [work(stack) for stack in stacks]
    # A fork has this process's modules, which take a second to load; there are no threads yet that it could break.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
        return list(pool.map(work, stacks))


def merged(found: Iterable[Examined]) -> list[Finding]:
    """All findings; equal ones of several stacks once, with the stacks' names."""
    together: dict[Finding, Finding] = {}
    for one in found:
        for finding in one.findings:
            before = together.get(finding, finding)
            together[finding] = replace(finding, stacks=(*before.stacks, one.stack))
    return sorted(together.values())
