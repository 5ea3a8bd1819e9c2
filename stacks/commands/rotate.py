"""`make rotate`: raises the generation of one application secret in a stack's file.

Owns the edit of that file, which keeps every other byte of it: `pulumi config set --path` would write the whole file
anew and lose comments and order. Changes nothing else; the next `pulumi up` makes the value.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stacks.application_secrets import SECRETS, DeclaredSecret, unknown
from stacks.commands.stack import CommandError, Stack, document, run, take_stack

_SETTING = "homelab:rotation"


def raised(text: str, name: str) -> tuple[str, int]:
    """The stack file `text` with the generation of `name` one higher, and that generation.

    Raises:
        CommandError: the file has a form that this does not edit; it must then be edited by hand.
    """
    before = document(text)
    generation = _generation(before, name) + 1
    edited = _edit(text, name, generation)
    expected = copy.deepcopy(before)
    expected["config"][_SETTING] = {**(expected["config"].get(_SETTING) or {}), name: generation}
    if document(edited) != expected:
        raise CommandError(f"the file cannot be edited safely; {_by_hand(name, generation)}")
    return edited, generation


def generations(text: str, secrets: Mapping[str, DeclaredSecret] = SECRETS) -> dict[str, int]:
    """The generation of every secret in a stack file."""
    return {name: _generation(document(text), name) for name in sorted(secrets)}


def outcome(row: DeclaredSecret, generation: int) -> Iterator[str]:
    """What the next `pulumi up` does, one line each."""
    yield f"The next `pulumi up` writes a new value to Vault, {row.spec.path(generation)}, and the old one stays there."
    in_secret = f"Secret {row.spec.name} in namespace {row.spec.namespace}"
    if row.also_in:
        yield f"{in_secret} gets it at once, and its copies in {', '.join(row.also_in)} follow."
    else:
        yield f"{in_secret} gets it at once."
    yield {
        "nothing": f"It is read by {row.consumers}.",
        "restart": f"Reloader then restarts {row.consumers}.",
        "procedure": f"It is NOT enough for {row.consumers}, which keep the value of their first start: "
        f'first read "{row.procedure}" in docs/rotation.md.',
    }[row.uptake]


def _generation(content: Mapping[str, Any], name: str) -> int:
    config = content.get("config")
    if not isinstance(config, dict):
        raise CommandError("the file has no map `config`; it is not a stack file of this program")
    rotation = config.get(_SETTING) or {}
    generation = rotation.get(name, 1) if isinstance(rotation, dict) else None
    if not isinstance(generation, int) or isinstance(generation, bool) or generation < 1:
        raise CommandError(f"{_SETTING}: is not a map of names to whole numbers; fix that first")
    return generation


def _edit(text: str, name: str, generation: int) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    config = _value(yaml.compose(text, yaml.SafeLoader), "config")
    if not isinstance(config, yaml.MappingNode) or config.flow_style:
        raise CommandError(f"`config` is not written one key a line; {_by_hand(name, generation)}")
    column = " " * config.value[0][0].start_mark.column
    rotation = _value(config, _SETTING)
    if rotation is None:
        end = _end_of_line(text, config)
        return f"{text[:end]}{newline * 2}{column}{_SETTING}:{newline}{column}  {name}: {generation}{text[end:]}"
    if not isinstance(rotation, yaml.MappingNode):  # nothing after the colon, or `null`
        start, end = rotation.start_mark.index, rotation.end_mark.index
        return f"{text[:start]}{newline}{column}  {name}: {generation}{text[end:]}"
    number = _value(rotation, name)
    if number is not None:
        return text[: number.start_mark.index] + str(generation) + text[number.end_mark.index :]
    if not rotation.flow_style:
        end, inner = _end_of_line(text, rotation), " " * rotation.value[0][0].start_mark.column
        return f"{text[:end]}{newline}{inner}{name}: {generation}{text[end:]}"
    brace = rotation.end_mark.index - 1
    inside = text[:brace].rstrip()
    return f"{inside}{', ' if rotation.value else ' '}{name}: {generation} {text[brace:]}"


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for found, value in pairs if found.value == key), None)


def _end_of_line(text: str, node: yaml.Node) -> int:
    """Where the line with the last character of a node ends, comments on it included."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    written = len(text[: node.end_mark.index].rstrip())
    found = re.search(r"\r?\n|\Z", text[written:])
    return written + (found.start() if found else 0)


def _by_hand(name: str, generation: int) -> str:
    return f"set `{name}: {generation}` in its {_SETTING} by hand"


def _write(file: Path, text: str) -> None:
    """Replace the file in one step, so that it is whole whatever happens."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", newline="", delete=False) as new:
        new.write(text)
    shutil.copymode(file, new.name)
    os.replace(new.name, file)


def rotate(stack: Stack, name: str, secrets: Mapping[str, DeclaredSecret] = SECRETS) -> list[str]:
    """Raise the generation of `name` in the stack's file, and return what to tell the user.

    Without a name, change nothing and list what there is. Raises CommandError, with the file as it was.
    """
    file, text = stack.file, stack.text()
    if not name:
        now = generations(text, secrets)
        return [
            f"{row.spec.namespace}/{key}: generation {now[key]} ({row.uptake})" for key, row in sorted(secrets.items())
        ]
    if wrong := unknown(name, secrets):
        raise CommandError(wrong)
    edited, generation = raised(text, name)
    _write(file.resolve(), edited)
    return [
        f"{file.name}: {_SETTING}.{name} is {generation}, was {generation - 1}.",
        *outcome(secrets[name], generation),
    ]


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.rotate --stack STACK [--name NAME]`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.rotate", description=__doc__)
    take_stack(parser)
    parser.add_argument("--name", default="", help="of the secret; without it, they are listed")
    chosen = parser.parse_args(arguments)
    return run("rotate", lambda: print(*rotate(Stack.chosen(chosen), chosen.name), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
