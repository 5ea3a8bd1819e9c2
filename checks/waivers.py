"""Findings that are accepted, with the reason: `checks/waivers.yaml`. One that matches nothing is itself a finding."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from checks.rules.rule import Finding

FILE = Path(__file__).resolve().parent / "waivers.yaml"
UNUSED = "unused-waiver"
"""The rule of a waiver that no finding needs."""
_KEYS = {"rule", "object", "field", "reason"}


@dataclass(frozen=True)
class Waiver:
    """One accepted finding. `object` and `field` may hold `*`; an empty field fits any."""

    rule: str
    object: str
    field: str
    reason: str

    def fits(self, finding: Finding) -> bool:
        """Whether this finding is meant."""
        return (
            finding.rule == self.rule
            and fnmatchcase(finding.object, self.object)
            and (not self.field or fnmatchcase(finding.field, self.field))
        )


@dataclass
class Waivers:
    """All waivers of a file."""

    waivers: list[Waiver] = field(default_factory=list)
    file: Path = FILE

    @classmethod
    def read(cls, file: Path) -> Waivers:
        """Read a file of waivers.

        Raises:
            ValueError: an entry lacks a key, has an unknown one, or gives no reason.
        """
        content: Any = yaml.safe_load(file.read_text()) if file.is_file() else None
        found = []
        for entry in content or []:
            if not isinstance(entry, dict) or not set(entry) <= _KEYS or not {"rule", "object", "reason"} <= set(entry):
                raise ValueError(f"{file}: {entry!r} is no waiver: give rule, object and reason, and if needed field")
            if len(str(entry["reason"]).split()) < 3:
                raise ValueError(f"{file}: the waiver of {entry['rule']} for {entry['object']} gives no reason")
            found.append(Waiver(entry["rule"], entry["object"], entry.get("field", ""), entry["reason"]))
        return cls(found, file)

    def applied(self, findings: Iterable[Finding]) -> list[Finding]:
        """The findings without accepted ones, and one for each waiver that no finding needs."""
        everything = list(findings)
        kept = [one for one in everything if not any(waiver.fits(one) for waiver in self.waivers)]
        for waiver in self.waivers:
            if not any(waiver.fits(one) for one in everything):
                problem = f"accepts {waiver.rule} for {waiver.object}, and no rule finds that"
                kept.append(Finding(UNUSED, waiver.object, waiver.field, problem, str(self.file), "Delete it."))
        return kept
