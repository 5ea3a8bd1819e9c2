"""Missing tools are built two at a time, and the first one that fails ends the rest."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lab import programs
from lab.errors import LabError
from lab.golang import GoBinary
from lab.programs import Tool, ensure

NAMES = tuple("abcdef")


@pytest.fixture(autouse=True)
def nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "TOOLS", {name: Tool(GoBinary(name, "network_policies", ".")) for name in NAMES})
    monkeypatch.setattr(programs, "cached", lambda _: None)


def test_two_are_built_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    together, running, most = threading.Barrier(2, timeout=10), set[str](), list[int]()

    def build(binary: GoBinary) -> Path:
        running.add(binary.name)
        together.wait()
        most.append(len(running))
        together.wait()
        running.remove(binary.name)
        together.wait()
        return Path("/built", binary.name)

    monkeypatch.setattr(programs, "build", build)
    found = ensure(NAMES)
    assert {name: one.path for name, one in found.items()} == {name: Path("/built", name) for name in NAMES}
    assert list(found) == list(NAMES)
    assert set(most) == {2}


def test_none_is_begun_after_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = list[str]()

    def build(binary: GoBinary) -> Path:
        begun.append(binary.name)
        if binary.name == "a":
            raise LabError("building a failed")
        time.sleep(0.5)  # as a build that runs when the other one fails
        return Path("/built", binary.name)

    monkeypatch.setattr(programs, "build", build)
    with pytest.raises(LabError, match="building a failed"):
        ensure(NAMES)
    assert "f" not in begun


def test_go_is_looked_for_only_where_something_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(programs, "find_go", lambda: asked.append("go"))
    monkeypatch.setattr(programs, "build", lambda binary: Path("/built", binary.name))
    ensure(["a", "b"])
    monkeypatch.setattr(programs, "cached", lambda binary: Path("/cache", binary.name))
    assert ensure(["c"])["c"].path == Path("/cache/c")
    assert asked == ["go"]
