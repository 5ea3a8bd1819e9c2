"""Questions to the Public Suffix List, of which only the rules of one top-level domain are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from publicsuffixlist import PSLFILE, PublicSuffixList

from stacks.settings import public_names

EVERY = 40
"""Of so many rules one is tried; below some top-level domains there are thousands of a kind."""


@pytest.fixture(scope="module")
def whole() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


def test_rules_of_every_kind_answer_as_the_whole_list_does(whole: PublicSuffixList) -> None:
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("//")]
    of_a_kind = [rule for rule in rules if rule[0] in "!*" or not rule.isascii()]
    names = [rule.replace("*", "any").lstrip("!") for rule in [*rules[::EVERY], *of_a_kind]]
    names += [name.encode("idna").decode() for name in names]
    expected = {name: whole.publicsuffix(f"own.{name}") for name in names}
    assert {name: _suffix(f"own.{name}") for name in names} == expected


@pytest.mark.parametrize("name", ["COM", "a.CO.UK", "nothing.nowhere", "nowhere", "10.0.0.1", "xn--", "", "."])
def test_a_name_that_no_rule_is_written_for_answers_as_the_whole_list_does(name: str, whole: PublicSuffixList) -> None:
    assert _suffix(name) == whole.publicsuffix(name)


def test_a_residential_name_is_everybodys_own() -> None:
    assert not public_names.is_public_suffix("home.arpa")


def _suffix(name: str) -> str | None:
    """The suffix of a name, by the one question that the module answers of each of its parents."""
    labels = name.split(".")
    parents = [".".join(labels[start:]) for start in range(len(labels))]
    return next((parent.lower() for parent in parents if public_names.is_public_suffix(parent.lower())), None)
