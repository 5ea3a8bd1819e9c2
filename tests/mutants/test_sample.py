"""The fast tests notice a few mutants, others for each commit; `make mutants` tries all."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

SIZE = 4
"""So many are tried in less than a minute on two cores."""


def test_a_few_mutants_are_noticed() -> None:
    command = [sys.executable, "-m", "tests.mutants", "--sample", str(SIZE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [f"mutants: {SIZE} of {SIZE} caught by the fast tests"], done.stdout
    assert done.returncode == 0, done.stderr
