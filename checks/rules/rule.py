"""The form of a rule and of what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from dataclasses import field as also
from difflib import get_close_matches

from checks.model.platform import Platform


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that would fail at run time."""

    rule: str
    object: str
    """What is wrong: an object, a release, a setting, a file."""
    field: str
    """Where in it."""
    problem: str
    """What is wrong, with the counterpart that is missing or that contradicts."""
    where: str = ""
    """`file:line` of the declaration."""
    remedy: str = ""
    """What to do; empty: what the rule says in general."""
    stacks: tuple[str, ...] = also(default=(), compare=False)


@dataclass(frozen=True)
class Rule:
    """One rule. `check` yields findings for one stack's platform."""

    id: str
    title: str
    why: str
    """Why what it finds would fail at run time."""
    remedy: str
    check: Callable[[Platform], Iterable[Finding]]
    fast: bool = False
    """Whether it needs no more than the settings and the recorded program: then it also runs before each preview."""

    def findings(self, platform: Platform) -> list[Finding]:
        """What it finds, once each, with its own remedy where a finding has none."""
        found = {replace(one, rule=self.id, remedy=one.remedy or self.remedy) for one in self.check(platform)}
        return sorted(found)


RULES: dict[str, Rule] = {}
"""Every rule by its id, in the order in which the modules are loaded."""


def rule(
    id_: str, *, title: str, why: str, remedy: str, fast: bool = False
) -> Callable[[Callable[[Platform], Iterator[Finding]]], Callable[[Platform], Iterator[Finding]]]:
    """Make a rule of a function that yields findings; their `rule` and `remedy` may stay empty."""

    def register(check: Callable[[Platform], Iterator[Finding]]) -> Callable[[Platform], Iterator[Finding]]:
        if id_ in RULES:
            raise ValueError(f"rule {id_!r} exists twice")
        RULES[id_] = Rule(id_, title, why, remedy, check, fast)
        return check

    return register


def finding(object_: object, field_: str, problem: str, where: str = "", remedy: str = "") -> Finding:
    """A finding of the rule that yields it."""
    return Finding("", str(object_), field_, problem, where, remedy)


def there(names: Iterable[str], meant: str) -> str:
    """What there is instead of a name that is not: the nearest one first."""
    known = sorted({name for name in names if name})
    if not known:
        return "there is none"
    near = get_close_matches(meant, known, n=1)
    shown = [*near, *(name for name in known if name not in near)]
    return "there are " + ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
