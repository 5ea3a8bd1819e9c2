"""The page of refused sites is what the rules say."""

from __future__ import annotations

import ast
from pathlib import Path

from components.proxmox.site import hosts, names, rights
from tests.unit.proxmox import site_page


def test_the_page_is_what_the_rules_say() -> None:
    assert site_page.PAGE.read_text(encoding="utf-8") == site_page.text(), "run python -m tests.unit.proxmox.site_page"


def test_each_example_is_one_finding() -> None:
    found = site_page.findings()
    lines = [line for each in found.values() for line in each]
    examples = (*site_page.HOSTS, *site_page.NAMES)
    assert len(found["Hosts"]) + len(found["Ids and names"]) == len(examples)
    assert len(lines) == len(set(lines))


def test_every_rule_has_an_example() -> None:
    """Each finding is one text in its module; of each, the words between its values are in the page."""
    shown = "\n".join(line for each in site_page.findings().values() for line in each)
    texts = [text for module in (hosts, names, rights) for text in _texts(Path(str(module.__file__)))]
    assert len(texts) >= 25
    assert [text for text in texts if not all(part in shown for part in text)] == []


def _texts(file: Path) -> list[list[str]]:
    """The fixed parts of every text that is yielded in a module."""
    yielded = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Yield)]
    texts = [node for node in yielded if isinstance(node, ast.JoinedStr)]
    return [[str(part.value) for part in text.values if isinstance(part, ast.Constant)] for text in texts]
