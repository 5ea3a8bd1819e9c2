"""Whether a failing test counts as one that notices a mutant."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

from tests.mutants.catalogue import Mutant
from tests.mutants.workshop import Copy, Judgement, Verdict, judge

MUTANT = Mutant(name="one", file="components/kit/ports.py", text="53", becomes="54", harm="no names")
BY = "tests/unit/kit/test_ports.py::test_one"


class Unchanged:
    """A copy in which nothing is changed, as no test runs."""

    def changed(self, _: Mutant) -> AbstractContextManager[None]:
        return nullcontext()


def judged(answers: list[str | None]) -> tuple[Verdict, list[list[str]]]:
    """The verdict where the tests that are asked answer so, and which were asked; all others pass."""
    judgement: Judgement = judge(cast(Copy, Unchanged()), MUTANT, {}, {BY})
    left, asked, answer = list(answers), [], cast(Any, None)
    while True:
        try:
            asked.append(list(judgement.send(answer)))
        except StopIteration as end:
            return end.value, asked
        answer = left.pop(0) if left else None


def test_a_test_that_fails_twice_notices() -> None:
    verdict, asked = judged([BY, BY])
    assert verdict.by == BY
    assert asked[1] == [BY]


def test_a_test_that_fails_by_chance_does_not_notice_and_those_behind_it_are_asked() -> None:
    verdict, asked = judged([BY, None])
    assert verdict.by is None
    assert asked[0] == asked[2]
