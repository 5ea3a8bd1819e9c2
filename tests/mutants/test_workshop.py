"""A run of tests in a copy sees the copy as it is at that moment, and nothing that an earlier run left there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.mutants import workshop
from tests.mutants.__main__ import _parts
from tests.mutants.catalogue import Mutant
from tests.mutants.workshop import Copy, _is_sound

TEST = "tests/unit/test_port.py::test_port"
CONTENT = {
    "components/port.py": "PORT = 53\n",
    "tests/unit/test_port.py": "from components.port import PORT\n\n\ndef test_port():\n    assert PORT == 53\n",
}
MUTANT = Mutant(name="one", file="components/port.py", text="53", becomes="54", harm="no names")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """A copy of a repository of two files, made by somebody who wants no bytecode in the working tree."""

    def copy_into(target: Path) -> None:
        for name, content in CONTENT.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(content)

    monkeypatch.setattr(workshop, "copy_into", copy_into)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return Copy(tmp_path)


def failed(copy: Copy) -> str | None:
    return copy.failed([TEST], os.waitpid(copy.start([TEST]), 0)[1])


def test_a_run_leaves_bytecode_for_the_next_one(copy: Copy) -> None:
    assert failed(copy) is None
    compiled = {path.name.partition(".")[0] for path in copy.root.rglob("*.pyc")}
    assert compiled == {"port", "test_port"}


def test_no_run_sees_the_bytecode_of_another_state_of_a_file(copy: Copy) -> None:
    # The change is of equal length, and all of it happens in one second.
    seen = [failed(copy)]
    for _ in range(2):
        with copy.changed(MUTANT):
            seen.append(failed(copy))
        seen.append(failed(copy))
    assert seen == [None, TEST, None, TEST, None]


@pytest.mark.parametrize(
    ("passed", "sound"),
    [
        ("tests/unit/a.py::test_b[c/d]", True),
        ("tests/unit/a.py::test_b", True),
        ("tests/unit/a.py", True),
        ("tests/unit", True),
        ("tests/unit/a.py::test", False),
        ("tests/unit/a.py::test_b[e]", False),
    ],
)
def test_a_test_is_sound_if_all_that_it_is_part_of_has_passed(passed: str, sound: bool) -> None:
    assert _is_sound("tests/unit/a.py::test_b[c/d]", {passed}) is sound


def test_tests_of_one_module_run_in_one_process() -> None:
    parts = _parts(["a.py::one", "b.py::one", "a.py::two", "b.py::two", "c.py"], 2)
    assert sorted(map(sorted, parts)) == [["a.py::one", "a.py::two", "c.py"], ["b.py::one", "b.py::two"]]
