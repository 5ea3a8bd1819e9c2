"""What a module of this repository imports, for tests that hold a direction."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT


def imports(file: Path, *, for_types: bool = True) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, wherever in it; a name may be a module or something in one.

    for_types: also what it imports for type checking alone, which is not a dependency at run time.
    """
    tree = ast.parse(file.read_text())
    left_out: set[int] = set()
    if not for_types:
        blocks = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ]
        left_out = {id(inner) for block in blocks for inner in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = file.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*package, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{module}.{name.name}") for name in node.names)
