"""How a recording ends, and what it leaves behind in the process that made it."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pulumi
import pytest

from checks.graph import Graph, record
from tests.checks.programs import COUNT, SAMPLE, custom, sample


def test_an_error_at_the_end_keeps_the_graph() -> None:
    graph = sample(bug="true", check=False)
    assert "bug in program" in str(graph.error)
    assert len(graph.nodes) == COUNT


def test_an_error_is_raised_unless_told_otherwise() -> None:
    with pytest.raises(RuntimeError, match="bug in program"):
        sample(bug="true")


def test_an_error_in_an_apply_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid literal for int"):
        sample(bugInApply="true")


def test_an_error_leaves_nothing_behind(bare: Graph) -> None:
    sample(bugInApply="true", check=False)
    again = sample()
    assert again.error is None
    assert set(again.nodes) == set(bare.nodes)


def test_errors_in_applies_beside_hooks_do_not_kill_the_process() -> None:
    # The SDK's own callback server dies by a segmentation fault here, not at once but within some repetitions.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from checks.graph import record\n"
        "for _ in range(10):\n"
        "    for bug in ('true', 'false'):\n"
        "        config = {'bugInApply': bug}\n"
        "        record(sys.argv[2], project='sample', config=config, secrets={'token': 't'}, check=False)\n"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code, str(root), str(SAMPLE)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_missing_configuration_value_is_an_error() -> None:
    with pytest.raises(pulumi.ConfigMissingError, match="sample:token"):
        record(SAMPLE, project="sample")


def test_a_duplicate_urn_is_an_error_with_the_first_place() -> None:
    def program() -> None:
        custom("same")
        custom("same")

    with pytest.raises(ValueError, match=r"duplicate URN .*first used at .*/programs\.py:\d+"):
        record(program)


def test_a_program_that_never_ends_is_given_up() -> None:
    with pytest.raises(TimeoutError, match=r"had not ended after 0.5 s; it last registered urn:"):
        sample(never="true", timeout=0.5)


def test_a_program_that_ends_itself_is_an_error() -> None:
    with pytest.raises(RuntimeError, match=r"sys.exit\(3\)"):
        record(lambda: sys.exit(3))


def test_an_async_function_is_a_program() -> None:
    async def program() -> None:
        await asyncio.sleep(0)
        custom("later")

    assert "later" in record(program)


def test_the_process_is_as_it_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", "{}")
    invoke = pulumi.runtime.invoke

    def state() -> tuple[Any, ...]:
        return os.getcwd(), list(sys.argv), list(sys.path), dict(os.environ), pulumi.runtime.invoke is invoke

    before = state()
    sample()
    assert state() == before
    assert "parts" not in sys.modules


def test_a_program_that_fails_does_not_leave_the_process_without_collections(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import gc\ngc.disable()\nraise RuntimeError\n")
    record(tmp_path, check=False)
    assert gc.isenabled()


def test_the_environment_of_the_caller_does_not_reach_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"sample:bug": "true"}))
    assert sample().error is None


def test_modules_of_the_program_are_executed_anew_each_time(tmp_path: Path) -> None:
    (tmp_path / "__main__.py").write_text("import pulumi, counted\npulumi.export('n', counted.NUMBER)\n")
    (tmp_path / "counted.py").write_text("NUMBER = 1\n")
    assert record(tmp_path).stack.outputs["n"] == 1
    (tmp_path / "counted.py").write_text("NUMBER = 1234\n")
    assert record(tmp_path).stack.outputs["n"] == 1234


def test_a_module_that_the_caller_had_imported_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__main__.py").write_text("import shared_with_test as s\ns.VALUES.append(1)\n")
    (tmp_path / "shared_with_test.py").write_text("VALUES = []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import shared_with_test  # type: ignore[import-not-found]

    record(tmp_path)
    assert sys.modules.pop("shared_with_test") is shared_with_test
    assert shared_with_test.VALUES == []


def test_what_the_checks_first_import_while_they_record_is_imported_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have imported the program's modules of that moment, whose classes are not those that others import."""
    monkeypatch.delitem(sys.modules, "checks.waivers", raising=False)
    (tmp_path / "__main__.py").write_text("import checks.waivers\n")
    record(tmp_path)
    assert "checks.waivers" not in sys.modules
