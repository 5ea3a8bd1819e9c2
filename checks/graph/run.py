"""Runs a program against a recorder, apart from everything else in this process.

Owns what a run changes and must restore: working directory, arguments, environment, modules and the SDK's state.
Not safe for use from several threads at once, as most of that belongs to the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import importlib
import logging
import os
import runpy
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pulumi.runtime

from checks.graph.config import StackConfig
from checks.graph.graph import Graph
from checks.graph.recorder import Callbacks, Fake, FakeInvoke, Recorder

RECORDING: contextvars.ContextVar[bool] = contextvars.ContextVar("recording", default=False)
"""Whether the program that runs here is being recorded, so that whoever records it judges what it made."""

Program = str | Path | Callable[[], Any]

# So often the program is looked at before it is given up.
_COUNTED = 20

# The names that generated SDKs call a provider function by.
_INVOKE_FUNCTIONS = ("invoke", "invoke_async", "invoke_output", "invoke_output_single", "invoke_single")


def record(
    program: Program,
    *,
    project: str = "project",
    stack: str = "stack",
    config: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    fakes: Mapping[str, Fake] | None = None,
    invokes: Mapping[str, FakeInvoke] | None = None,
    timeout: float = 60,
    check: bool = True,
) -> Graph:
    """Run `program` as a first preview would and return what it registered.

    Args:
        program: a directory with a `__main__.py`, or a function (also an async one) that makes resources.
        config: key to value as the engine passes them: objects are JSON strings. A key without a namespace belongs
            to the project. A `StackConfig` brings its own secret keys along.
        secrets: the same for values that are secret; they win over `config`.
        fakes: outputs that a real preview does not know, by URN, `"<type> <name>"`, name, type token or package; the
            first that fits, in this order, is used. Without one a resource repeats its inputs and all else is unknown;
            below a provider with unknown configuration everything is.
        invokes: result of a provider function by its token; without one it is unknown.
        timeout: seconds without a new resource after which a program that never ends is given up; more on a machine
            that gives this process too little of a processor. One that blocks the event loop is not given up.
        check: raise what the program raised. When false, return the graph so far and keep the exception in its `error`.

    Raises:
        TimeoutError: the program had not ended in time.
        Exception: whatever the program raised, and ValueError for a URN or hook name that is used twice.
    """
    recorder = Recorder(project, stack, fakes or {}, invokes or {})
    graph = recorder.graph
    directory = None if callable(program) else Path(program).resolve()
    values, secret_keys = _merged_config(project, config or {}, secrets or {})

    def in_context() -> None:
        RECORDING.set(True)
        pulumi.runtime.set_all_config(values, secret_keys)
        pulumi.runtime.configure(_settings(recorder, project, stack, directory))
        asyncio.run(_run(program, directory, graph, timeout))

    with _isolated(directory), _called_functions() as called:
        try:
            # The SDK keeps its state in context variables: a new context is a new state.
            contextvars.Context().run(in_context)
        except SystemExit as exc:
            graph.error = RuntimeError(f"the program ended itself: sys.exit({exc.code!r})")
        except Exception as exc:  # the caller chooses whether it is raised
            graph.error = exc
    sent = Counter(invoke.token for invoke in graph.invokes)
    graph.invokes_skipped = sorted((called - sent).elements())
    graph.unused_fakes = sorted({*(fakes or {}), *(invokes or {})} - recorder.used_fakes)
    if graph.error is not None and check:
        raise graph.error
    return graph


def _settings(recorder: Recorder, project: str, stack: str, directory: Path | None) -> pulumi.runtime.Settings:
    """The SDK's, with the recorder for an engine that makes a preview."""
    settings = pulumi.runtime.Settings(
        project=project,
        stack=stack,
        monitor=recorder,
        engine=recorder,
        dry_run=True,
        organization="organization",
        root_directory=str(directory or Path.cwd()),
    )
    # The one attribute that the SDK does not document: see Callbacks for what happens without it.
    settings.callbacks = Callbacks(recorder.graph)
    return settings


async def _run(program: Program, directory: Path | None, graph: Graph, timeout: float) -> None:
    def run() -> Any:
        if callable(program):
            return program()
        runpy.run_path(str(directory), run_name="__main__")
        return None

    running = asyncio.ensure_future(pulumi.runtime.run_in_stack(run))
    known, quiet = -1, 0
    # Counted, not read from a clock: what passes while this process waits for a processor is not the program's time.
    while not (await asyncio.wait({running}, timeout=timeout / _COUNTED))[0]:
        known, quiet = (known, quiet + 1) if known == len(graph.nodes) else (len(graph.nodes), 1)
        if quiet == _COUNTED:
            running.cancel()
            await asyncio.wait({running})
            last = list(graph.nodes)[-1] if graph.nodes else "nothing"
            raise TimeoutError(f"the program had not ended after {timeout} s; it last registered {last}")
    running.result()


def _merged_config(
    project: str, config: Mapping[str, str], secrets: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    def full(key: str) -> str:
        return key if ":" in key else f"{project}:{key}"

    marked = config.secret_keys if isinstance(config, StackConfig) else frozenset()
    values = {full(key): value for key, value in [*config.items(), *secrets.items()]}
    return values, sorted({full(key) for key in [*marked, *secrets]})


@contextmanager
def _called_functions() -> Iterator[Counter[str]]:
    """Count each provider function that is called: the SDK drops a call with an unknown argument without a word."""
    called: Counter[str] = Counter()

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(token: str, *args: Any, **kwargs: Any) -> Any:
            called[token] += 1
            return real(token, *args, **kwargs)

        return call

    with ExitStack() as undo:
        for name in _INVOKE_FUNCTIONS:
            real = getattr(pulumi.runtime, name)
            undo.callback(setattr, pulumi.runtime, name, real)
            setattr(pulumi.runtime, name, counting(real))
        yield called


@contextmanager
def _isolated(directory: Path | None) -> Iterator[None]:
    """Give the program fresh modules of its own and an environment without Pulumi's variables; put all back after."""
    logger = logging.getLogger("asyncio")
    with ExitStack() as undo:
        undo.callback(logger.setLevel, logger.level)
        undo.callback(gc.enable)  # the program may turn it off, and fail before it turns it on again
        logger.setLevel(logging.CRITICAL)  # a failed program leaves futures behind that nobody awaits
        for name in [name for name in os.environ if name.startswith("PULUMI_")]:
            undo.callback(os.environ.__setitem__, name, os.environ.pop(name))
        if directory is not None:
            undo.callback(os.chdir, Path.cwd())
            os.chdir(directory)
            undo.callback(setattr, sys, "argv", sys.argv)
            sys.argv = [str(directory)]
            outer = _take_program_modules(directory)
            undo.callback(lambda: (_take_program_modules(directory), sys.modules.update(outer)))
            undo.callback(_drop_own_modules_except, set(sys.modules))
            importlib.invalidate_caches()
        yield


def _drop_own_modules_except(known: set[str]) -> None:
    """Forget the modules of this package that the program was first to import: they have the program's own modules."""
    for name in set(sys.modules) - known:
        if _is_own(name):
            del sys.modules[name]


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == __name__.partition(".")[0]


def _take_program_modules(directory: Path) -> dict[str, Any]:
    """Remove and return the loaded modules that belong to the program, so that its next import executes them anew.

    Installed packages may lie below the directory too (`.venv`), and this package must not lose itself: both stay.
    """
    taken = {}
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "/")
        installed = "site-packages" in file.parts or file.is_relative_to(sys.prefix)
        if name != "__main__" and not _is_own(name) and file.is_relative_to(directory) and not installed:
            taken[name] = sys.modules.pop(name)
    return taken
