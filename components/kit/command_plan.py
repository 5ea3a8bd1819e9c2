"""What a command that Pulumi runs is told: plain values, as JSON in one variable of its environment.

Owns the form, which is in the state of every platform that exists. Does not own the variables' names, nor what a
command needs to know: each has a plan of its own. No secret is in a plan.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, kw_only=True)
class CommandPlan:
    """Base of every plan. A field that is added later needs a default: older platforms recorded plans without it."""

    def dumps(self) -> str:
        """The value of the variable."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> Self:
        """The reverse of `dumps`."""
        return cls(**json.loads(text))
