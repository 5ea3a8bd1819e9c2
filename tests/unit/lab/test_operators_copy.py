"""The copy of a cluster that the lab's operators look at: it goes on whatever the API server answers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.operators.api import DEFINITION, Copy, RefusedError
from lab.operators.world import Kind, holds

ROOT = Path(__file__).resolve().parents[3]
SECRET = Kind("Secret", "v1", "secrets")
POOL = Kind("IPAddressPool", "metallb.io/v1beta1", "ipaddresspools")
POOLS: dict[str, Any] = {
    "metadata": {"name": "ipaddresspools.metallb.io"},
    "spec": {"group": "metallb.io", "names": {"kind": "IPAddressPool"}},
    "status": {"conditions": [{"type": "Established", "status": "True"}]},
}


@dataclass
class Answer:
    status: int
    events: list[Any]
    until: threading.Event | None = None

    def __iter__(self) -> Iterator[bytes]:
        yield from (json.dumps(each).encode() for each in self.events)
        if self.until is not None:
            self.until.wait()


@dataclass
class Server:
    """An API server: collections by path, and what it answers to the watches of one, in order."""

    lists: dict[str, list[Any]]
    watches: dict[str, list[Answer]] = field(default_factory=dict)
    watched: list[str] = field(default_factory=list)

    def request(self, _method: str, path: str, _body: Any = None) -> Any:
        if path not in self.lists:
            raise RefusedError(404, path)
        return {"items": self.lists[path], "metadata": {"resourceVersion": "1"}}

    def connect(self, _timeout: float) -> Connection:
        return Connection(self)


class Connection:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._path = ""

    def request(self, _method: str, path: str) -> None:
        self._path = path.partition("?")[0]
        self._server.watched.append(self._path)

    def getresponse(self) -> Answer:
        answers = self._server.watches.get(self._path, [])
        return answers.pop(0) if answers else Answer(200, [], threading.Event())

    def close(self) -> None:
        pass


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_watch_that_is_refused_is_begun_anew() -> None:
    server = Server({SECRET.path(): [], DEFINITION.path(): []})
    server.watches[SECRET.path()] = [Answer(500, [{"kind": "Status", "status": "Failure"}])]
    copy = Copy(server, [SECRET], [])  # type: ignore[arg-type]
    wait_until(lambda: server.watched.count(SECRET.path()) == 2)
    assert not copy.missing()


def test_a_kind_is_followed_again_when_its_definition_comes_back_as_it_is_forgotten() -> None:
    """The definition comes back between the last look at what is wanted and the moment in which that is acted upon."""
    server = Server({DEFINITION.path(): [POOLS], POOL.path(): []})
    ended = threading.Event()
    server.watches[POOL.path()] = [Answer(200, [], ended)]
    copy = Copy(server, [], [POOL])  # type: ignore[arg-type]
    wait_until(lambda: server.watched.count(POOL.path()) == 1 and not copy.missing())
    gone = {**POOLS, "apiVersion": DEFINITION.api_version, "kind": DEFINITION.name}
    with copy.lock:
        copy.world.drop(gone)
        ended.set()
        # Long enough for the thread of the kind to come to the lock.
        time.sleep(0.5)
        copy.world.put(gone)
    copy._look_at_definitions(DEFINITION)
    wait_until(lambda: server.watched.count(POOL.path()) == 2)


def test_conditions_that_nobody_wrote_hold_nothing() -> None:
    assert not holds({"metadata": {}, "status": {"conditions": None}}, "Ready")


def test_the_process_ends_when_one_of_its_threads_fails() -> None:
    program = """
import threading, time
from lab.operators.__main__ import end_with
threading.excepthook = end_with
threading.Thread(target=lambda: 1 / 0, daemon=True).start()
time.sleep(60)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr
