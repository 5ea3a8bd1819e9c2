"""The catalogue fits the repository, and its own tool reads it as it is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.mutants.catalogue import (
    CAUGHT_BY,
    FAST,
    PARTS,
    RECORD,
    CatalogueError,
    Mutant,
    caught_by,
    load,
    misfits,
    record,
    sample,
)
from tests.mutants.workshop import _FAILED, importers, neighbours, stages

ENTRY: dict[str, Any] = {
    "name": "one",
    "file": "components/kit/ports.py",
    "text": "53",
    "becomes": "54",
    "harm": "no names",
}


def catalogue(folder: Path, *entries: dict[str, Any]) -> list[Mutant]:
    (folder / "some.yaml").write_text(yaml.safe_dump(list(entries)))
    return load(folder)


def test_every_entry_fits_the_repository() -> None:
    assert misfits(load(), ROOT) == []


def test_there_are_as_many_mutants_of_each_part_as_it_takes_to_tell_something() -> None:
    parts = [mutant.file.partition("/")[0] for mutant in load()]
    assert set(parts) == set(PARTS)
    assert len(parts) >= 150


def test_no_mutant_is_in_the_tests() -> None:
    assert [mutant.name for mutant in load() if mutant.file.startswith("tests/")] == []


def test_what_is_remembered_is_about_mutants_that_are_there() -> None:
    assert set(caught_by()) - {mutant.name for mutant in load()} == set()


def test_what_is_remembered_was_said_by_a_fast_test() -> None:
    assert [test for test in caught_by().values() if not test.startswith(FAST)] == []


def test_what_is_remembered_is_written_as_it_is_read(tmp_path: Path) -> None:
    record({"b": "tests/unit/x.py::y", "a": "tests/unit/z.py"}, tmp_path / "file")
    assert list(caught_by(tmp_path / "file")) == ["a", "b"]
    assert caught_by(tmp_path / "none") == {}
    assert CAUGHT_BY.is_file()


def test_an_entry_says_what_it_is() -> None:
    assert Mutant(**ENTRY).applied("port = 53") == "port = 54"


@pytest.mark.parametrize("content", ["", "53 53"])
def test_a_text_that_is_not_there_exactly_once_is_an_error(content: str) -> None:
    with pytest.raises(CatalogueError, match=r"one: its text is in components/kit/ports\.py [02] times"):
        Mutant(**ENTRY).applied(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"harm": None}, "no 'harm'"),
        ({"test": "x"}, "no field 'test'"),
    ],
)
def test_an_entry_of_another_form_is_an_error(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    entry = {key: value for key, value in {**ENTRY, **change}.items() if value is not None}
    with pytest.raises(CatalogueError, match=said):
        catalogue(tmp_path, entry)


def test_two_entries_of_one_name_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="one: is the name of two entries"):
        catalogue(tmp_path, ENTRY, ENTRY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file": "components/kit/gone.py"}, "there is no components/kit/gone.py"),
        ({"becomes": "53"}, "changes nothing"),
        ({"text": "54"}, "0 times"),
        ({"slow": "tests/lab/gone.py"}, "there is no test tests/lab/gone.py"),
        ({"tests": "tests/unit/test_sizes.py::test_gone"}, "there is no test tests/unit/test_sizes.py::test_gone"),
    ],
)
def test_an_entry_that_does_not_fit_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    [found] = misfits(catalogue(tmp_path, {**ENTRY, **change}), ROOT)
    assert found.startswith("one: ")
    assert said in found


def test_a_sample_is_another_for_another_commit_and_the_same_for_the_same() -> None:
    mutants = load()
    assert sample(mutants, 5, "a") == sample(mutants, 5, "a") != sample(mutants, 5, "b")


def test_a_sample_has_no_mutant_that_only_a_slow_test_notices(tmp_path: Path) -> None:
    slow = {**ENTRY, "name": "slow", "slow": "tests/lab/test_platform.py"}
    assert [mutant.name for mutant in sample(catalogue(tmp_path, ENTRY, slow), 9, "a")] == ["one"]


def test_who_noticed_before_is_asked_first_and_all_only_at_last() -> None:
    known = {"one": "tests/graph/test_dns.py::test_x"}
    first, *_, last = stages(Mutant(**ENTRY), known)
    assert (first, last) == (["tests/graph/test_dns.py::test_x"], list(FAST))


def test_who_noticed_a_change_of_the_file_is_asked_before_who_noticed_one_of_its_folder() -> None:
    known = {
        "one": "tests/unit/o.py",
        "same": "tests/graph/s.py::a",
        "other": "tests/unit/n.py::b",
        "far": "tests/f.py",
    }
    files = {name: f"components/kit/{name}.py" for name in known} | {"same": ENTRY["file"], "far": "stacks/site.py"}
    assert neighbours(Mutant(**ENTRY), known, files) == ["tests/graph/s.py", "tests/unit/n.py"]
    assert ["tests/graph/s.py", "tests/unit/n.py"] in stages(Mutant(**ENTRY), known, files)


def test_the_record_of_what_is_made_is_asked_only_after_those_that_say_what_is_wrong() -> None:
    known = {"same": "tests/graph/s.py::a", "other": f"{RECORD}/test_made.py::b"}
    asked = stages(Mutant(**ENTRY), known, {"same": ENTRY["file"], "other": ENTRY["file"]})
    assert asked[-3:] == [["tests/graph/s.py"], [RECORD], list(FAST)]


def test_not_all_are_asked_about_what_only_a_slow_test_notices() -> None:
    assert list(FAST) not in stages(Mutant(**ENTRY, slow="tests/lab/test_platform.py"), {})


def test_tests_that_import_a_module_are_likely_to_notice_its_change() -> None:
    assert "tests/unit/talos/test_talos_config.py" in importers("components/talos/config.py")
    assert importers("charts/values/cilium.yaml") == []


@pytest.mark.parametrize(
    ("line", "test"),
    [
        ("FAILED tests/unit/a.py::test_b - AssertionError", "tests/unit/a.py::test_b"),
        ("FAILED tests/unit/a.py::test_b[one-two] - Error", "tests/unit/a.py::test_b[one-two]"),
        ("FAILED tests/unit/a.py::test_b[no such zone] - Error", "tests/unit/a.py::test_b"),
        ("ERROR tests/unit/a.py", "tests/unit/a.py"),
        ("ERROR tests/unit/a.py - ValueError", "tests/unit/a.py"),
    ],
)
def test_the_test_that_noticed_is_read_from_the_summary(line: str, test: str) -> None:
    found = _FAILED.search(f"1 failed\n{line}\n")
    assert found
    assert found[1] == test
