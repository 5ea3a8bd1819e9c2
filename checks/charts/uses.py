"""What a chart's templates do with its values, as a tree that has the shape of the values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Keys = tuple[str, ...]
"""Keys from the root of the values; `ANY` stands for each element of a list, or each key of a map."""

ANY = "[]"

_DEEPEST = 12
"""Levels to which the use of a named template is copied: one that includes itself has no end."""


@dataclass
class Use:
    """What the templates do with one value."""

    printed: bool = False
    """It goes into a manifest with whatever is in it, so it may hold anything."""
    passed: bool = False
    """It goes into a function that may use anything in it."""
    children: dict[str, Use] = field(default_factory=dict)

    def at(self, keys: Keys) -> Use:
        """The use of a value below this one, made where there was none."""
        use = self
        for key in keys:
            use = use.children.setdefault(key, Use())
        return use

    def below(self, key: str) -> list[Use]:
        """The uses that concern a key of this value: its own, and that of each key."""
        return [self.children[name] for name in dict.fromkeys((key, ANY)) if name in self.children]

    def add(self, other: Use, depth: int = _DEEPEST) -> bool:
        """Take over all that `other` holds, and say whether that was anything new."""
        before = self.printed, self.passed
        self.printed |= other.printed
        self.passed |= other.passed
        changed = (self.printed, self.passed) != before
        for key, child in list(other.children.items()) if depth else []:
            changed |= key not in self.children
            changed |= self.children.setdefault(key, Use()).add(child, depth - 1)
        return changed


@dataclass(frozen=True)
class Inclusion:
    """A named template that is given a value, as its context or as one key of it."""

    template: str
    key: Keys
    value: Keys


def template(name: str) -> str:
    """The key under which the uses of a named template's own context are kept: no value's key starts so."""
    return f"\0{name}"


def resolve(root: Use, inclusions: Iterable[Inclusion]) -> None:
    """Add to each value what the named templates that it is given to do with it."""
    inclusions = set(inclusions)
    for _ in range(_DEEPEST):
        changes = [root.at(i.value).add(root.at((template(i.template), *i.key))) for i in inclusions]
        if not any(changes):
            return
