"""Runs tests on a mutant, in a copy of the repository that belongs to one worker.

Owns the copy, and puts every file back after each mutant. Does not know what there is to try: that is `catalogue.py`.

Each run of tests is a child of this process, forked after the libraries are loaded: most of what a short run costs is
their import. The child loads the repository's own modules from the copy, as bytecode that stays there.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import pkgutil
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.imports import imports
from tests.mutants.catalogue import FAST, RECORD, Mutant
from tests.repository import copy_into

SECONDS = 900
"""For one run of tests; a mutant that makes them wait longer is noticed by that."""

_SAYING = tuple(folder for folder in FAST if folder != RECORD)
"""Those that say what is wrong."""

_NOTHING_TO_RUN = (4, 5)
"""Pytest's exit codes for a test that does not exist and for an empty selection."""

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+\.py(?:::[^\s\[]+(?:\[[^\s\]]+\](?= |$))?)?)", re.MULTILINE)
"""A test in the summary. Of one whose parameters hold a blank, the function, with all its parameters."""

_PACKAGES = ("checks", "program", "components", "stacks")
"""Their import loads the libraries that tests need; they themselves are forgotten again by who runs tests."""


class WorkshopError(Exception):
    """The tests cannot judge a mutant, as they fail without one."""


@dataclass(frozen=True)
class Verdict:
    """What the fast tests say of a mutant. by: the test that noticed it; None where none did."""

    mutant: Mutant
    by: str | None


Judgement = Generator[Sequence[str], str | None, Verdict]
"""Yields tests to run, is sent the first one that failed, and returns the verdict."""


def load_libraries() -> None:
    """Load once what every run of tests needs, so that its children have it.

    Raises WorkshopError where a library began a thread: a child would have its locks and not the thread.
    """
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for package in _PACKAGES:
        for module in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    if threading.active_count() > 1:
        raise WorkshopError(f"an import began a thread: {', '.join(map(str, threading.enumerate()))}; do it later")
    # What is here stays for ever: a child that looked through it for garbage would write to all of its memory.
    gc.collect()
    gc.freeze()


class Copy:
    """A copy of the repository, as it is in the working tree, in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "repository"
        self._directory = directory
        # A file's bytecode is good for one modification time in whole seconds: no two states of a file share one.
        self._times = itertools.count(1_000_000_000)
        copy_into(self.root)
        git = ["git", "-C", str(self.root)]
        subprocess.run([*git, "init", "--quiet"], check=True)
        subprocess.run([*git, "add", "--all"], check=True)
        (self.root / ".git" / "info" / "exclude").write_text("/.venv\n", encoding="utf-8")
        (self.root / ".venv").symlink_to(ROOT / ".venv")

    def start(self, tests: Sequence[str]) -> int:
        """Begin to run the tests; the id of the process."""
        child = os.fork()
        if child == 0:
            try:
                status = self._run(tests)
            except BaseException:  # a child must not go on as if it were the parent
                traceback.print_exc()
                status = 70
            os._exit(status)
        return child

    def failed(self, tests: Sequence[str], status: int) -> str | None:
        """The first of the tests that failed; None if none did, or none was there. status: as `os.wait` gives it."""
        if os.WIFSIGNALED(status):
            return f"none of {' '.join(tests)} ended"
        if os.WEXITSTATUS(status) in (0, *_NOTHING_TO_RUN):
            return None
        found = _FAILED.search((self._directory / "said").read_text(encoding="utf-8", errors="replace"))
        # Where nothing could be collected, not even a conftest, there is no test to name.
        return found[1] if found else f"none of {' '.join(tests)} started"

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the mutant in it."""
        file = self.root / mutant.file
        before = file.read_text(encoding="utf-8")
        self._write(file, mutant.applied(before))
        try:
            yield
        finally:
            self._write(file, before)

    def _write(self, file: Path, content: str) -> None:
        file.write_text(content, encoding="utf-8")
        time = next(self._times)
        os.utime(file, (time, time))

    def _run(self, tests: Sequence[str]) -> int:
        signal.alarm(SECONDS)  # its default is the end of the process
        said = os.open(self._directory / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(ours, theirs)
        # Where a test calls, pytest has put its own in their place.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        for name in [name for name in os.environ if name.startswith(("PYTHON", "PYTEST", "PULUMI"))]:
            del os.environ[name]
        folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
        for name in [name for name in sys.modules if name.partition(".")[0] in folders]:
            del sys.modules[name]
        # Whoever calls may want none in the working tree; in the copy it is most of what an import costs.
        sys.dont_write_bytecode = False
        os.chdir(self.root)
        sys.path[:] = [str(self.root), *(path for path in sys.path if path not in ("", str(ROOT)))]
        importlib.invalidate_caches()
        options = ["-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", f"--rootdir={self.root}"]
        return int(pytest.main([*options, f"--basetemp={self._directory / 'pytest'}", *tests]))


def judge(
    copy: Copy,
    mutant: Mutant,
    known: Mapping[str, str],
    sound: set[str],
    files: Mapping[str, str] | None = None,
) -> Judgement:
    """Ask the likely tests first, and all the fast ones only if none of those notices.

    sound: tests that are known to pass without a mutant. files: what each mutant changes, by its name.
    Raises WorkshopError when the one that fails is not sound.
    """
    for tests in stages(mutant, known, files):
        with copy.changed(mutant):
            by = yield tests
            # One that fails by chance does not notice, and kept those behind it from being asked.
            while by is not None and by.startswith(FAST) and tests != [by] and (yield [by]) is None:
                by = yield tests
        if by is None:
            continue
        if not _is_sound(by, sound) and (again := (yield [by] if by.startswith(FAST) else tests)) is not None:
            raise WorkshopError(f"{again} fails without a mutant: see to it first, or every mutant is caught by it")
        sound.add(by)
        return Verdict(mutant, by)
    return Verdict(mutant, None)


def _is_sound(test: str, sound: set[str]) -> bool:
    """Whether it, its function with any parameters, its module or a folder above has passed without a mutant."""
    above = [test[: one.start()] for one in re.finditer(r"\[|::|/", test)]
    return not sound.isdisjoint([test, *above])


def stages(mutant: Mutant, known: Mapping[str, str], files: Mapping[str, str] | None = None) -> list[list[str]]:
    """Tests to ask, in the order of asking.

    First the one that noticed the mutant before; then those that the entry names and those that import the changed
    module; then the modules of those that noticed another change of the file, or of its folder; then the record of all
    that is made; then all, unless the entry says that none of the fast ones notices.
    """
    asked = [[known[mutant.name]]] if known.get(mutant.name, "").startswith(FAST) else []
    likely = list(dict.fromkeys([*mutant.tests, *importers(mutant.file)]))
    asked += [likely] if likely else []
    near = [module for module in neighbours(mutant, known, files or {}) if module not in likely]
    asked += [near] if near else []
    return asked if mutant.slow else [*asked, [RECORD], list(FAST)]


def neighbours(mutant: Mutant, known: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    """The modules of tests that noticed other changes of the same file, then of the same folder; the busiest first.

    files: what is changed by each mutant, by its name.
    """
    found: Counter[str] = Counter()
    for name, test in known.items():
        file = files.get(name, "")
        if name != mutant.name and test.startswith(_SAYING) and Path(file).parent == Path(mutant.file).parent:
            found[test.partition("::")[0]] += 1_000 if file == mutant.file else 1
    return [module for module, _ in found.most_common()]


def importers(file: str) -> list[str]:
    """The fast tests that import the module `file`."""
    module = file.removesuffix(".py").replace("/", ".")
    return [
        test
        for test, names in _imported().items()
        if any(name == module or name.startswith(f"{module}.") for name in names)
    ]


@cache
def _imported() -> Mapping[str, frozenset[str]]:
    """What each fast test imports. To read all of them takes as long as to ask about a mutant."""
    return {
        str(test.relative_to(ROOT)): frozenset(name for _, name in imports(test))
        for folder in FAST
        for test in sorted((ROOT / folder).rglob("test_*.py"))
    }
