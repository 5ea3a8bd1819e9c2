"""Building the lab's Go programs, and keeping what was built."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lab import golang
from lab.errors import LabError
from lab.golang import GoBinary

GO_MOD = "module example\n\ngo 1.21\n"
HELLO = 'package main\n\nfunc main() { println("hello") }\n'


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoBinary:
    """A Go program that needs no other module, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "hello"
    source.mkdir()
    (source / "go.mod").write_text(GO_MOD)
    (source / "main.go").write_text(HELLO)
    return GoBinary("hello", str(source), ".")


def test_a_binary_is_built_once(hello: GoBinary) -> None:
    path = golang.build(hello)
    built = path.stat().st_mtime_ns
    assert golang.build(hello).stat().st_mtime_ns == built
    assert subprocess.run([path], capture_output=True, text=True, check=True).stderr == "hello\n"


def test_changed_sources_make_another_binary(hello: GoBinary) -> None:
    before = hello.key()
    (hello.sources() / "main.go").write_text(HELLO.replace("hello", "bye"))
    assert hello.key() != before


def test_a_changed_test_does_not_make_another_binary(hello: GoBinary) -> None:
    before = hello.key()
    (hello.sources() / "main_test.go").write_text("package main\n")
    assert hello.key() == before


def test_two_builds_at_once_make_one_binary(hello: GoBinary) -> None:
    found: list[Path] = []
    builders = [threading.Thread(target=lambda: found.append(golang.build(hello))) for _ in range(2)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert not [path for path in golang.cache().iterdir() if path.name.startswith(".")]


def test_a_failed_build_names_its_log_and_leaves_no_binary(hello: GoBinary) -> None:
    (hello.sources() / "main.go").write_text("package main\n\nfunc main() { absent() }\n")
    with pytest.raises(LabError, match=r"(?s)building hello failed:.*undefined: absent.*The whole log: .*\.log"):
        golang.build(hello)
    assert golang.cached(hello) is None


def test_a_superseded_build_that_nobody_used_for_weeks_goes(hello: GoBinary) -> None:
    old = golang.build(hello).parent
    long_ago = time.time() - 2 * golang.UNUSED_SECONDS
    os.utime(old, (long_ago, long_ago))
    (hello.sources() / "main.go").write_text(HELLO.replace("hello", "bye"))
    golang.build(hello)
    assert not old.exists()


def test_missing_go_is_named_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    golang.find_go.cache_clear()
    with pytest.raises(LabError, match="what Debian calls golang-go"):
        golang.find_go()
