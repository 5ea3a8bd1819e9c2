"""`python -m tests.mutants`: does any test notice when the program is broken in one place?

Puts each mutant of the catalogue into a copy of the repository and runs the fast tests there. Ends with 1 where one
survives for which no slow test is named, or where fewer than `LEAST` of them are caught.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.conftest import ROOT
from tests.mutants.catalogue import RECORD, CatalogueError, Mutant, caught_by, load, misfits, record, sample
from tests.mutants.workshop import Copy, Judgement, Verdict, WorkshopError, judge, load_libraries

LEAST = 0.9
"""The part of all mutants that the fast tests must notice."""


def main(arguments: list[str] | None = None) -> int:
    """Print a line for each mutant, and at last how many were caught."""
    options = _options(arguments)
    started = time.monotonic()
    try:
        mutants, known = _chosen(options), caught_by()
        if wrong := misfits(mutants, ROOT):
            raise CatalogueError("\n".join(wrong))
        verdicts = list(_told(tried(mutants, known, options.workers)))
    except (CatalogueError, WorkshopError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.record:
        record({**known, **{verdict.mutant.name: verdict.by for verdict in verdicts if verdict.by}})
    caught = [verdict for verdict in verdicts if verdict.by]
    unnamed = [verdict.mutant.name for verdict in verdicts if not verdict.by and not verdict.mutant.slow]
    print(f"in {time.monotonic() - started:.0f} s")
    if unnamed:
        print(f"survived, and no slow test is named for them: {', '.join(sorted(unnamed))}")
    alone = sum(str(verdict.by).startswith(RECORD) for verdict in caught)
    print(f"{alone} of those caught: by the record of what is made alone, which tells no right change from a wrong one")
    print(f"mutants: {len(caught)} of {len(verdicts)} caught by the fast tests")
    return 1 if unnamed or len(caught) < LEAST * len(verdicts) else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="how many mutants are tried at a time; default: 2")
    parser.add_argument(
        "--sample", type=int, help="try as many of those that were noticed before, others for each commit"
    )
    parser.add_argument("--only", nargs="+", default=[], help="try those whose name begins so")
    parser.add_argument("--record", action="store_true", help="keep which test noticed, to ask it first the next time")
    return parser.parse_args(arguments)


def _chosen(options: argparse.Namespace) -> list[Mutant]:
    mutants = load()
    if options.only:
        mutants = [mutant for mutant in mutants if mutant.name.startswith(tuple(options.only))]
    if not mutants:
        raise CatalogueError(f"no mutant begins with {' or '.join(options.only)}")
    if options.sample is None:
        return mutants
    # Whether a test still notices what it noticed is told in seconds; whether any notices a new one, in minutes.
    known = caught_by()
    return sample([mutant for mutant in mutants if mutant.name in known], options.sample, commit())


def commit() -> str:
    """The id of the commit that is checked out."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def tried(mutants: Sequence[Mutant], known: Mapping[str, str], workers: int) -> Iterator[Verdict]:
    """A verdict on each mutant, as it comes. Raises WorkshopError where tests fail without a mutant."""
    load_libraries()
    # Those that take long first, so that no worker is left alone with one at the end.
    waiting = sorted(mutants, key=lambda mutant: mutant.name in known)
    files = {mutant.name: mutant.file for mutant in load()}
    sound: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="homelab-mutants-") as scratch:
        copies = [Copy(Path(scratch, str(number))) for number in range(min(workers, len(waiting)))]
        _require_sound(copies, sorted({known[mutant.name] for mutant in mutants if mutant.name in known}), sound)
        idle, running = list(copies), dict[int, tuple[Copy, Judgement, Sequence[str]]]()
        try:
            while waiting or running:
                while idle and waiting:
                    copy, mutant = idle.pop(), waiting.pop(0)
                    judgement = judge(copy, mutant, known, sound, files)
                    tests = next(judgement)
                    running[copy.start(tests)] = copy, judgement, tests
                child, status = os.wait()
                copy, judgement, tests = running.pop(child)
                try:
                    tests = judgement.send(copy.failed(tests, status))
                    running[copy.start(tests)] = copy, judgement, tests
                except StopIteration as end:
                    idle.append(copy)
                    yield end.value
        finally:
            for child in running:
                os.kill(child, 9)
                os.waitpid(child, 0)


def _require_sound(copies: Sequence[Copy], tests: Sequence[str], sound: set[str]) -> None:
    """Run, without a mutant, the tests that will be asked first. Raises WorkshopError if one fails."""
    asked = [test for test in tests if test.startswith("tests/")]
    running = {}
    for copy, part in zip(copies, _parts(asked, len(copies)), strict=True):
        if part:
            running[copy.start(part)] = copy, part
    broken = []
    while running:
        child, status = os.wait()
        copy, part = running.pop(child)
        broken += [found] if (found := copy.failed(part, status)) is not None else []
    if broken:
        raise WorkshopError(f"{broken[0]} fails without a mutant: see to it first, or every mutant is caught by it")
    sound.update(asked)


def _parts(tests: Sequence[str], number: int) -> list[list[str]]:
    """The tests in so many parts, those of a module in one: they share what is dear, such as a stack's graph."""
    parts: list[list[str]] = [[] for _ in range(number)]
    for _, module in itertools.groupby(sorted(tests), lambda test: test.partition("::")[0]):
        min(parts, key=len).extend(module)
    return parts


def _told(verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    for verdict in verdicts:
        mutant = verdict.mutant
        if verdict.by:
            print(f"caught   {mutant.name}: {verdict.by}", flush=True)
        else:
            left = f"left to {mutant.slow}" if mutant.slow else mutant.harm
            print(f"SURVIVED {mutant.name}: {left}", flush=True)
        yield verdict


if __name__ == "__main__":
    sys.exit(main())
