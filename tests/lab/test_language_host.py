"""How the lab's language host runs a program, and what it says of one that fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pulumi import RunError

from lab.plugins.language_host import __main__ as language_host


def test_a_failing_program_is_reported_from_its_own_first_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"(?s)Traceback.*__main__\.py\", line 1.*ValueError: bad") as caught:
        _run_program("raise ValueError('bad')", tmp_path, monkeypatch)
    assert "runpy" not in str(caught.value)


def test_an_error_meant_for_the_user_is_passed_on_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"\Atold you\Z"):
        _run_program("import pulumi\nraise pulumi.RunError('told you')", tmp_path, monkeypatch)


def test_a_program_that_exits_with_a_status_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"sys\.exit"):
        _run_program("raise SystemExit(3)", tmp_path, monkeypatch)


def test_a_program_finds_the_modules_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_the_program.py").write_text("VALUE = 1\n")
    _run_program("import beside_the_program\nassert beside_the_program.VALUE == 1", tmp_path, monkeypatch)


def _run_program(source: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "__main__.py").write_text(source + "\n")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setattr(sys, "argv", [])
    language_host._run(str(directory), str(directory))
