"""What every test stands on: importable packages, and nothing of the Pulumi that the caller may be logged in to."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# At import time, so that fixtures of any scope, and what test modules do when they are imported, are covered too.
for _name in [name for name in os.environ if name.startswith("PULUMI_")]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root, which is also the Pulumi program's directory."""
    return ROOT
