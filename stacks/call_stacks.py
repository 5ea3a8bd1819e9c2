"""How much of its call stack the SDK tells the engine with each resource.

Owns that limit alone. The SDK reads the stack down to the first call of the interpreter, and the engine keeps it in the
state, for every resource. Two thirds of it are the same each time: the calls of the language host and of the event loop
that led to the program. To read them took a quarter of the time in which the layers make their resources.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

DEPTH = 14
"""Calls that are read, from the innermost on: some six of the SDK, then those from a resource up to `__main__.py`."""


@contextmanager
def of_the_program() -> Iterator[None]:
    """Has the SDK read no more than the program's own part of the stack while resources are made.

    The limit is that of the interpreter for every traceback, so it is gone before one of an error is shown.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = DEPTH
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before
