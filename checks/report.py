"""How findings are shown: as text for people, as JSON, and as SARIF for pull requests."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from checks.rules.rule import Finding, Rule

_ROOT = Path(__file__).resolve().parent.parent
_WIDTH = 110


def as_text(findings: Sequence[Finding], rules: Mapping[str, Rule]) -> str:
    """Findings by what to do about them."""
    lines: list[str] = []
    for remedy, group in groupby(sorted(findings, key=lambda one: (one.remedy, one)), key=lambda one: one.remedy):
        lines.append(f"{remedy}")
        for one in group:
            stacks = f" ({', '.join(one.stacks)})" if one.stacks else ""
            place = f"{one.object}{f' · {one.field}' if one.field else ''}"
            lines += textwrap.wrap(f"{place} {one.problem}", _WIDTH, initial_indent="  - ", subsequent_indent="    ")
            lines.append(f"      declared: {shown(one.where) or 'unknown'}{stacks}")
            rule = rules.get(one.rule)
            lines += textwrap.wrap(
                f"[{one.rule}] {rule.why if rule else ''}", _WIDTH, initial_indent="      ", subsequent_indent="      "
            )
        lines.append("")
    return "\n".join(lines) + ("\n" if lines else "")


def as_json(findings: Sequence[Finding], rules: Mapping[str, Rule]) -> str:
    """Findings as a list of objects."""
    content = [
        {
            "rule": one.rule,
            "object": one.object,
            "field": one.field,
            "problem": one.problem,
            "where": shown(one.where),
            "why": rules[one.rule].why if one.rule in rules else "",
            "remedy": one.remedy,
            "stacks": list(one.stacks),
        }
        for one in findings
    ]
    return json.dumps(content, indent=2) + "\n"


def as_sarif(findings: Sequence[Finding], rules: Mapping[str, Rule]) -> str:
    """Findings in SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html"""
    described = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.why},
            "help": {"text": rule.remedy},
        }
        for rule in rules.values()
    ]
    driver = {"name": "homelab-checks", "rules": described}
    run = {"tool": {"driver": driver}, "results": [_result(one) for one in findings]}
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(one: Finding) -> dict[str, Any]:
    file, _, line = shown(one.where).rpartition(":")
    if not line.isdigit():
        file, line = shown(one.where), "1"
    region = {"startLine": max(1, int(line))}
    location = {"physicalLocation": {"artifactLocation": {"uri": file or "Pulumi.yaml"}, "region": region}}
    text = f"{one.object}{f' {one.field}' if one.field else ''} {one.problem}. {one.remedy}"
    return {"ruleId": one.rule, "level": "error", "message": {"text": text}, "locations": [location]}


def shown(where: str) -> str:
    """A place with its path from the repository's root."""
    return where.removeprefix(f"{_ROOT}/")


def explained(rule: Rule) -> str:
    """A rule in words."""
    fast = "\nIt also runs before each preview and up." if rule.fast else ""
    return f"{rule.id}: {rule.title}.\n\nWhy: {rule.why}\nRemedy: {rule.remedy}{fast}"
