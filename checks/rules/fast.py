"""The modules that hold fast rules: no others are loaded before a preview, which would wait for their import.

`all.py` loads these among its own. A rule that becomes fast needs its module here.
"""

from __future__ import annotations

from checks.rules import capacity, compatibility, machines, network, ownership
from checks.rules.rule import RULES

MODULES = (network, ownership, capacity, compatibility, machines)

__all__ = ["MODULES", "RULES"]
