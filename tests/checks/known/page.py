"""`python -m tests.checks.known.page` writes docs/faults.md: each known fault, what finds it, and how it is tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from checks.rules.all import RULES
from checks.rules.rule import Rule
from tests.checks.known.every import KNOWN
from tests.checks.known.fault import Known
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "faults.md"

_HEAD = """\
# Known faults, and what finds them

Faults that platforms of this kind really had. Each is put into this repository's own tree and program by
[tests/checks/test_known_faults.py](../tests/checks/test_known_faults.py), in each way that the last column names, and
has to be found by the rule that the third one names: with the object, its field and the counterpart, and with at most
three further findings, its consequences. `make check` asks the same rules; `python -m checks --explain RULE` says
what one is for, and [adding-a-rule.md](adding-a-rule.md) how another one is added.

Nobody edits this page: `tests/checks/known/` is its source, and `python -m tests.checks.known.page` writes it.
"""


def page(known: Iterable[Known], rules: Mapping[str, Rule]) -> str:
    """The page."""
    lines = [_HEAD, "", "| | what was wrong | found by | tried as |", "|---|---|---|---|"]
    for number, one in enumerate(known, 1):
        names = dict.fromkeys(case.rule for case in one.cases)
        found = "<br>".join(f"`{name}`: {rules[name].title}" for name in names)
        tried = "<br>".join(f"{case.name} (`{case.rule}`)" if len(names) > 1 else case.name for case in one.cases)
        lines.append(f"| {number} | **{one.title}**. {one.wrong} | {found} | {tried} |")
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(KNOWN, RULES))
