"""The form of a reference from one object to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Need:
    """A reference from a field of an object."""

    field: str
    group: str
    kind: str
    namespace: str
    name: str
    key: str = ""
    """A key of a Secret or ConfigMap, or a port of a Service."""
    waits: bool = False
    """Whether the referrer does not get ready before the other exists."""

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


def text_of(value: Any) -> str:
    """A name or a number as text; empty for anything else."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
