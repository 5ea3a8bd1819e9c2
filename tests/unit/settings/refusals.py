"""`python -m tests.unit.settings.refusals` writes docs/refusals.md: every refusal of the settings, as it is shown."""

from __future__ import annotations

from itertools import cycle, groupby

from stacks.settings.credentials import PREFIX
from tests.conftest import ROOT
from tests.unit.settings import fixtures

PAGE = ROOT / "docs/refusals.md"

_HEAD = """\
# What the settings refuse

Every reason for which `pulumi preview` and `pulumi up` refuse a stack's file, each with an example. All that apply are
shown at once, before anything is created. Nobody edits this page: the examples of the tests are its source
(`tests/unit/settings/refused*/`), and `python -m tests.unit.settings.refusals` writes it.
"""


def text() -> str:
    """The page: one list a section of the stack file."""
    files = [*fixtures.files("refused"), *fixtures.files("refused_with_credentials")]
    examples = {line for file in files for line in fixtures.read(file)["expect"]}
    parts = [_HEAD]
    for section, lines in groupby(sorted(examples), key=_section):
        parts.append(f"\n## `{section}`\n\n")
        parts.extend(f"- `{place}`: {as_markdown(reason)}\n" for place, _, reason in map(_split, lines))
    return "".join(parts)


def _section(line: str) -> str:
    prefix = PREFIX if line.startswith(PREFIX) else ""
    return prefix + line.removeprefix(prefix).partition(": ")[0].partition(".")[0].partition("[")[0]


def _split(line: str) -> tuple[str, str, str]:
    return line.removeprefix(PREFIX).partition(": ")


def as_markdown(text: str) -> str:
    """A text as Markdown that shows it letter by letter."""
    parts = text.split("`")
    return "`".join(
        _escaped(part) if outside else part for part, outside in zip(parts, cycle((True, False)), strict=False)
    )


def _escaped(text: str) -> str:
    for special in "\\*_<>{}":
        text = text.replace(special, f"\\{special}")
    return text


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
