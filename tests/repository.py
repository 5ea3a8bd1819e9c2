"""The files of the repository, as they are in the working tree, and copies of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT


def files() -> list[str]:
    """What belongs to the repository, or would with the next commit: no caches, no environment, nothing of the lab."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split("\0")
    # One that was deleted is listed until that is committed.
    return [name for name in listed if name and (ROOT / name).is_file()]


def copy_into(target: Path) -> None:
    """Put a copy of each file into a directory."""
    for name in files():
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy)
