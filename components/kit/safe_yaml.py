"""How the program reads its own YAML files.

Owns the choice of the loader. PyYAML's loader in C reads the same seven times as fast as the one in Python, and values
of charts are read at each start of the program. A PyYAML without it reads them, too. What the program writes is always
written by the dumper in Python, as the text of a file must not depend on the machine.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str | bytes) -> Any:
    """The one document of a text. Raises yaml.YAMLError."""
    return yaml.load(text, LOADER)  # noqa: S506 - a safe loader
