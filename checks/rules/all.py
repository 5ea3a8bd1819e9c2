"""Every rule: loading a module registers what it holds. A new module gets a line here."""

from __future__ import annotations

from checks.rules import charts, order, ownership, references
from checks.rules.rule import RULES

MODULES = (references, order, ownership, charts)

__all__ = ["MODULES", "RULES"]
