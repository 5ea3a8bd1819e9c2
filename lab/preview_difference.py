"""`python -m lab.preview_difference BASE HEAD [BASE HEAD]`: what a change does, as Markdown for a pull request.

Owns the comparison of two plans that `make preview JSON=file` has written, and of two lists of what Flux deploys
(`python -m checks --deployed file`), and their form. Both previews begin with an empty site, so a difference is one of
the program, its settings or the applications. BASE may be missing: then HEAD is only counted.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MARKER = "<!-- homelab: preview of stack prod -->"
"""The first line, by which the workflow finds its comment again."""

MOST = 60_000
"""Characters; GitHub refuses a comment of more than 65,536: https://docs.github.com/en/rest/issues/comments."""


@dataclass(frozen=True)
class Part:
    """What is compared. title: in Markdown. things: what a plan has, in the plural. source: where one comes from."""

    title: str
    things: str
    source: str


PROGRAM = Part("`pulumi preview` of stack prod", "resources", "preview")
FLUX = Part("What Flux deploys in stack prod", "objects", "list")

Plan = Mapping[str, Any]
"""The inputs of each resource by its URN; secrets are not in it."""


def plan(preview: str, checkout: Path) -> dict[str, Any]:
    """What `pulumi preview --json` says of each resource, with paths that do not depend on the checkout's place."""
    steps = json.loads(preview.replace(str(checkout), "."))["steps"]
    return {step["urn"].split("::", 2)[2]: step["newState"].get("inputs") or {} for step in steps if "newState" in step}


def markdown(base: Plan | None, head: Plan, part: Part = PROGRAM, most: int = MOST) -> str:
    """A part of the comment, cut where it would have more than `most` characters."""
    lines = [f"### {part.title}", ""]
    if base is None:
        lines.append(f"{len(head)} {part.things}; there is no {part.source} of the base to compare them with.")
        return "\n".join(lines) + "\n"
    added, gone = sorted(head.keys() - base.keys()), sorted(base.keys() - head.keys())
    changed = sorted(urn for urn in head.keys() & base.keys() if head[urn] != base[urn])
    if not (added or gone or changed):
        lines.append(f"Nothing changes: the {len(head)} {part.things} are those of the base.")
        return "\n".join(lines) + "\n"
    counts = {"new": len(added), "gone": len(gone), "changed": len(changed)}
    lines.append(", ".join(f"{number} {word}" for word, number in counts.items() if number) + f", of {len(head)}.")
    lines += ["", "```diff"]
    for urn in (*gone, *added, *changed):
        lines += _difference(urn, base.get(urn), head.get(urn))
    text = "\n".join(lines)
    if len(text) > most:
        text = text[:most].rpartition("\n")[0] + "\n... the rest is in the run's artifact"
    return text + "\n```\n"


def _difference(urn: str, before: Any, after: Any) -> list[str]:
    old, new = ([] if inputs is None else _written(inputs) for inputs in (before, after))
    sign = "+" if before is None else "-" if after is None else "!"
    # Without the header of a unified diff, which names files.
    return [f"{sign} {urn}", *list(difflib.unified_diff(old, new, lineterm="", n=1))[2:]]


def _written(inputs: Any) -> list[str]:
    # A fence inside would end the one around it.
    text = yaml.dump(inputs, Dumper=_Dumper, allow_unicode=True, width=200).replace("```", "'''")
    return [f"  {line}" for line in text.splitlines()]


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block, so that a difference shows the lines that differ."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def comment(parts: Sequence[tuple[Part, Plan | None, Plan]]) -> str:
    """The whole comment. A part may be as long as the ones before it leave room for, so the shortest come first."""
    written, left = dict[str, str](), MOST
    for number, (part, base, head) in enumerate(sorted(parts, key=lambda one: len(markdown(*one[1:], one[0])))):
        written[part.title] = markdown(base, head, part, left // (len(parts) - number))
        left -= len(written[part.title])
    return "\n".join([MARKER, *(written[part.title] for part, _, _ in parts)])


def main(arguments: list[str]) -> int:
    """Print the comment."""
    files = [Path(argument) for argument in arguments]
    plans = [json.loads(file.read_text(encoding="utf-8")) if file.exists() else None for file in files]
    pairs = zip((PROGRAM, FLUX), plans[::2], plans[1::2], strict=False)
    print(comment([(part, base, head) for part, base, head in pairs if head is not None]), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
