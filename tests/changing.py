"""What is below a directory while others change it.

Path.glob and Path.rglob fail where a directory goes away while they look into it, so no test uses them on what runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def below(directory: Path | str) -> Iterator[Path]:
    """Every file and directory at any depth; what goes away meanwhile may be among them or not."""
    for where, directories, files in os.walk(directory):
        for name in (*directories, *files):
            yield Path(where, name)
