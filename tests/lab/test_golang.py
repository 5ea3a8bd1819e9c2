"""Building the lab's Go programs, and keeping what was built."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lab import golang, programs
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


def test_what_only_tests_run_is_built_in_less_time_and_is_another_binary() -> None:
    known = {name: tool.binary for name, tool in programs.TOOLS.items()}
    quick = {name for name, binary in known.items() if not binary.optimized}
    assert quick == set(programs.TESTS) - set(programs.CHECKS)
    assert all(known[name].key() != replace(known[name], optimized=True).key() for name in quick)


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


def test_a_file_below_replaced_stands_in_for_the_modules_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's module, served as a proxy does: from files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOFLAGS", "-modcacherw")
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'}")
    monkeypatch.setenv("GONOSUMDB", "*")
    served = tmp_path / "proxy/example.org/hello/@v"
    served.mkdir(parents=True)
    (served / "v1.0.0.mod").write_text("module example.org/hello\n\ngo 1.21\n")
    (served / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    word = 'package word\n\nconst Word = "{}"\n'
    main = 'package main\n\nimport "example.org/hello/word"\n\nfunc main() { println(word.Word) }\n'
    with zipfile.ZipFile(served / "v1.0.0.zip", "w") as archive:
        for name, content in {"go.mod": "module example.org/hello\n\ngo 1.21\n", "main.go": main}.items():
            archive.writestr(f"example.org/hello@v1.0.0/{name}", content)
        archive.writestr("example.org/hello@v1.0.0/word/word.go", word.format("theirs"))
    tool = tmp_path / "tool"
    tool.mkdir()
    (tool / "go.mod").write_text(f"{GO_MOD}\nrequire example.org/hello v1.0.0\n")
    subprocess.run([golang.find_go(), "mod", "download", "all"], cwd=tool, check=True)
    binary = GoBinary("hello", str(tool), "example.org/hello", "example.org/hello")
    before = binary.key()
    (tool / "replaced/word").mkdir(parents=True)
    (tool / "replaced/word/word.go").write_text(word.format("ours"))
    assert binary.key() != before
    assert subprocess.run([golang.build(binary)], capture_output=True, text=True, check=True).stderr == "ours\n"


def test_missing_go_is_named_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    golang.find_go.cache_clear()
    with pytest.raises(LabError, match="what Debian calls golang-go"):
        golang.find_go()
