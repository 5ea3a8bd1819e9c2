"""Reads and writes a stack's file, Pulumi.<stack>.yaml, as the engine does.

Owns the one reading of such a file outside the engine: previews, rehearsals, the recorder and the commands of a person
all use it. What it accepts has the value that the engine gives it (YAML 1.2 as in go-yaml 3: `yes` and `12:34:56` are
strings); what the engine reads as something else than a person sees (`02002` is 1026) is refused, and so is whatever
the engine refuses, such as a key that is there twice. Does not own what the settings mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

_MOST = 2**53
"""From here on, not every whole number survives the way through JSON: https://www.rfc-editor.org/rfc/rfc8259#section-6"""

_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)

_WHOLE = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0o[0-7]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[oO]?[0-9]+")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF|nan|NaN|NAN)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")

_TAGGED = re.compile(r"(?:&\S+\s+)?!")
_CRAMPED = re.compile(r"\s*:[,\[\]{}]")
_SLASH = re.compile(r"(?<!\\)(?:\\\\)*\\/")


class StackFileError(ValueError):
    """The file cannot be read, or does not mean what it seems to; the message says where, why, and what helps."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")


def parse(text: str) -> dict[str, Any]:
    """The mapping in the text of a stack's file; empty if there is none.

    Keys are strings, as for the engine. Encrypted values stay maps with the one key `secure`.

    Raises:
        StackFileError: the engine would refuse the text, or give a value that the text does not show.
    """
    try:
        node = yaml.compose(text, yaml.BaseLoader)
        content = None if node is None else _Reading(text).value(node)
    except yaml.MarkedYAMLError as error:
        # The library's own message quotes the text, in which a secret may be that is not encrypted yet.
        mark = error.problem_mark or error.context_mark
        raise StackFileError("this is not YAML", mark.line + 1 if mark else None) from None
    except yaml.YAMLError:
        raise StackFileError("this is not YAML: it has a character that YAML does not allow") from None
    except RecursionError:
        raise StackFileError("this is nested too deeply") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise StackFileError("a mapping with the key `config` is expected")
    return content


def dump(content: dict[str, Any]) -> str:
    """Text that `parse` and the engine read as `content`; its keys are strings."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Reading:
    """Turns the nodes of one text into values."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[yaml.Node] = []

    def value(self, node: yaml.Node) -> Any:
        line = node.start_mark.line + 1
        if _TAGGED.match(self._text, node.start_mark.index):
            raise StackFileError("a tag (`!...`) is not supported; remove it", line)
        if node in self._open:
            raise StackFileError("an anchor contains itself", line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, line)
        self._open.append(node)
        if isinstance(node, yaml.MappingNode):
            found: Any = self._mapping(node)
        else:
            found = [self.value(item) for item in node.value]
        self._open.pop()
        return found

    def _scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        if node.style is None:
            return _plain(node.value, line)
        if node.style == '"' and _SLASH.search(self._text, node.start_mark.index, node.end_mark.index):
            raise StackFileError(r"the engine does not know the escape `\/`; write `/`", line)
        return node.value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.value == "<<":  # for the engine with quotes, too
                for part in self._merged(value_node):
                    merged = part | merged
                continue
            key = self._key(key_node, line)
            if key in own:
                raise StackFileError(f"the key {key} is there twice, first in line {lines[key]}; remove one", line)
            own[key] = self.value(value_node)
            lines[key] = line
        return merged | own

    def _key(self, node: yaml.Node, line: int) -> str:
        found = self.value(node)
        if isinstance(node, yaml.ScalarNode) and node.style is None and _CRAMPED.match(self._text, node.end_mark.index):
            raise StackFileError(f"the engine takes the colon after {found} for a part of it; put a space after", line)
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, str | int):
            return str(found)
        raise StackFileError("a key is neither text nor a whole number; put it in quotes", line)

    def _merged(self, node: yaml.Node) -> Iterator[dict[str, Any]]:
        """The mappings that `<<` brings; what is there already is not replaced by a later one."""
        for part in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(part, yaml.MappingNode):
                raise StackFileError("`<<` takes a mapping", part.start_mark.line + 1)
            yield self.value(part)


def _plain(text: str, line: int) -> Any:
    """The value of a scalar without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _DATE.fullmatch(text):
        raise StackFileError(f"{text} is an unquoted date, which the engine rewrites; put it in quotes", line)
    try:
        number = _number(text)
    except ValueError as error:
        raise StackFileError(f"{text} {error}", line) from None
    return text if number is None else number


def _number(text: str) -> int | float | None:
    """The number that the engine reads in a plain scalar, if it is one.

    Raises:
        ValueError: with the reason why it is refused.
    """
    if _LEADING_ZERO.fullmatch(text.replace("_", "")):
        raise ValueError("has a leading zero, which makes it octal; write it without the zero, or in quotes")
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("is not a finite number; put it in quotes if it is text")
    plain = text.replace("_", "") if text[:1] in "+-.0123456789" else text
    if _WHOLE.fullmatch(plain):
        value: int | float = int(plain, 0)
    elif _FLOAT.fullmatch(plain):
        value = float(plain)
        if value in (float("inf"), float("-inf")):
            return None
        value = int(value) if value.is_integer() else value
    else:
        return None
    if plain != text:
        raise ValueError("has an underscore; write the number without it, or put it in quotes if it is text")
    if abs(value) > _MOST:
        raise ValueError("is a larger number than JSON holds exactly; put it in quotes if it is text")
    return value


class _Dumper(yaml.SafeDumper):
    """Puts strings in quotes wherever one without them would be read as something else."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Nothing is written as an anchor: a person may edit what is written."""
        return True


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    try:
        same = _plain(text, 0) == text
    except StackFileError:
        same = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if same else '"')


_Dumper.add_representer(str, _written)
