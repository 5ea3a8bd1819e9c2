"""What tests measure is shown at the end of a run, without an option and with several workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

MEASURES = """
import pytest

@pytest.mark.parametrize("number", [1, 2])
def test_measures(figure, number):
    figure(f"number {number}: 1.5 s")
    assert number == 1
"""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_ends_with_the_figures_of_tests_that_passed_and_that_failed(tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import figure, pytest_terminal_summary\n")
    (tmp_path / "test_measures.py").write_text(MEASURES)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    options = ["--rootdir", str(tmp_path), "-c", os.devnull, "-p", "no:cacheprovider", "--numprocesses", workers]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=tmp_path,
        env=plain | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    _, _, end = done.stdout.partition(" figures ")
    assert sorted(line for line in end.splitlines() if line.startswith("number")) == [
        "number 1: 1.5 s",
        "number 2: 1.5 s",
    ], done.stdout
