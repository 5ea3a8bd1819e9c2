"""The wording of error messages: each pydantic error as one plain line with value, rule and remedy.

Owns the translation of type and format errors and the search for secrets in plain text. A finding about a secret never
shows its value. Does not own the rules between values (`rules`).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, get_args, get_origin

import pulumi
from pydantic import BaseModel, ValidationError

from components.kit.spelling import did_you_mean
from stacks.settings.base import help_texts
from stacks.settings.credentials import PREFIX, SECRET_KEYS, SET_A_SECRET
from stacks.settings.model import Settings


# A RunError, so that the engine shows only the findings and not a traceback of the program.
class SettingsError(ValueError, pulumi.RunError):
    """The configuration was refused; `findings` has one line per reason, and the message contains them all."""

    def __init__(self, findings: list[str]) -> None:
        self.findings = tuple(findings)
        super().__init__("the configuration was refused:\n" + "\n".join(findings))


Location = tuple[str | int, ...]

_LONGEST = 300
"""Characters of a value that a finding shows; a domain has 253 at most."""

_SECRET_NAME = re.compile(r"pass(word|wd|phrase)?$|secret|token|credential|(auth|api|private)_?key$", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\btskey-[a-z]+-"  # a Tailscale key
    r"|[^\s@]@[^\s@!]+![^\s!=]+=[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"  # a Proxmox API token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|://[^/\s@]+:[^/\s@]+@"  # a password inside a URL
)
_SIZE = re.compile(r"([0-9]+) ?([KMGTkmgt])(i?B)?")
_DURATION = re.compile(r"([0-9]+) ?(s|m|min|h)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600}
_UNITS = {"memory": "MiB", "disk": "GiB", "node": "seconds", "drain": "seconds", "api": "seconds"}
"""Of the sizes and durations in a stack file, by their key."""

_EXPECTED = {
    "bool_type": "true or false; write one of them, without quotes",
    "string_type": "text; write it in quotes",
    "list_type": "a list; write each item on its own line after '- '",
    "dict_type": "a map; write `name: value` lines below the key",
    "model_type": "a map; write `name: value` lines below the key",
}


def path(location: Location) -> str:
    """The location of a value in the stack file, such as `homelab:network.resolvers[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_on_one_line(part)}" for part in location)
    return PREFIX + text.removeprefix(".")


def _on_one_line(text: str) -> str:
    """As much of a text as a person needs, with escapes for what a terminal would not show."""
    plain = text if text.isprintable() else repr(text)[1:-1]
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."


def secrets_in_plain_text(raw: Mapping[str, object]) -> dict[Location, str]:
    """One finding, by location, for each value that looks like a secret or has a secret's name."""
    return {
        place: f"{path(place)}: looks like a secret in plain text; remove it, replace it wherever it is in use, and "
        + SET_A_SECRET
        for place, value in _leaves(raw)
        if (_SECRET_NAME.search(str(place[-1])) and value is not None and place[0] != "rotation")
        or (isinstance(value, str) and _SECRET_VALUE.search(value))
    }


def translate(error: ValidationError, leaked: Mapping[Location, str]) -> list[str]:
    """One line per error, in the order of the models; locations in `leaked` keep that finding instead."""
    findings = list(leaked.values())
    for detail in error.errors(include_url=False):
        location = tuple(part for part in detail["loc"] if part != "[key]")
        if not any(place[: len(location)] == location for place in leaked):
            sentence, value = _sentence(detail, location), detail["input"]
            if isinstance(value, str) and len(value) > _LONGEST:
                sentence = sentence.replace(repr(value)[1:-1], _on_one_line(value)).replace(value, _on_one_line(value))
            findings.append(f"{path(location)}: {sentence}")
    return findings


def _sentence(detail: Any, location: Location) -> str:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    match kind:
        case "value_error":
            return str(context["error"])
        case "missing":
            return f"missing, and it has no default; add it: {_meaning(location)}"
        case "extra_forbidden":
            return f"unknown key; {_near(location)}"
        case "literal_error":
            return f"{value!r} is not {context['expected']}; use one of them"
        case "greater_than_equal":
            return f"{value} is less than the minimum {context['ge']}{_in(location)}; give {context['ge']} or more"
        case "less_than_equal":
            return f"{value} is more than the maximum {context['le']}; give {context['le']} or less"
        case "string_too_long":
            return f"{value!r} has {len(value)} characters; give one of {context['max_length']} or fewer"
        case "string_too_short":
            return "is empty; give a value, or remove the key"
        case "too_short":
            return "is empty, but needs at least one entry; add one"
        case _ if value is None and (kind in _EXPECTED or kind == "int_type"):
            return "has no value; give one, or remove the key"
        case "string_type" if isinstance(value, Mapping | list):
            return f"{_shown(value)} is not text; write a single value after the colon"
        case "int_type" if isinstance(value, str) and (number := _in_unit_of(location, value)):
            return f"{value!r} is not a whole number{_of(location)}; write {number}"
        case "int_type":
            return f"{_shown(value)} is not a whole number{_of(location)}; write it in digits, without quotes"
        case _ if kind in _EXPECTED:
            return f"{_shown(value)} is not {_EXPECTED[kind]}"
    return f"{_shown(value)} is refused ({detail['msg']}); correct it, or remove the key"


def _of(location: Location) -> str:
    """The unit of a value, as the end of "a number"."""
    unit = _UNITS.get(str(location[-1]))
    return f" of {unit}" if unit else ""


def _in(location: Location) -> str:
    """The unit of a value, beside a number."""
    unit = _UNITS.get(str(location[-1]))
    return f" ({unit})" if unit else ""


def _in_unit_of(location: Location, text: str) -> int | None:
    """The number that a text with a unit, such as 32G, is in the unit of a value; None if it is not a whole one."""
    unit = _UNITS.get(str(location[-1]))
    if unit == "seconds":
        duration = _DURATION.fullmatch(text)
        return int(duration[1]) * _SECONDS[duration[2]] if duration else None
    written = _SIZE.fullmatch(text)
    if not unit or not written:
        return None
    letters = "KMGT"
    power = letters.index(written[2].upper()) - letters.index(unit[0])
    number, rest = divmod(int(written[1]) * 1024 ** max(power, 0), 1024 ** max(-power, 0))
    return None if rest else number


def _shown(value: object) -> str:
    if value is None:
        return "nothing (an empty value)"
    return f"a {'map' if isinstance(value, Mapping) else 'list'}" if isinstance(value, Mapping | list) else repr(value)


def _near(location: Location) -> str:
    """The keys allowed in the map at this location, or the one that was probably meant."""
    *parent, key = location
    known = [str(field.alias) for field in _model_at(parent).model_fields.values()]
    if not parent:
        known += SECRET_KEYS
    allowed = f"the keys allowed here are {', '.join(known)}; remove it or use one of them"
    return did_you_mean(str(key), known) or _moved(str(key)) or allowed


def _moved(key: str) -> str | None:
    """Where a key that is unknown here does belong."""
    places = [path(place) if place else f"config, as {PREFIX}{key}" for place in _places(key)]
    return f"it belongs under {' or '.join(places)}" if places else None


def _places(key: str, model: type[BaseModel] = Settings, here: Location = ()) -> Iterator[Location]:
    """The maps in which a key is known; `<name>` stands for the name of an entry."""
    for field in model.model_fields.values():
        if field.alias == key:
            yield here
        inner = field.annotation
        place: Location = (*here, str(field.alias))
        if get_origin(inner) is dict:
            inner, place = get_args(inner)[1], (*place, "<name>")
        for kind in get_args(inner) or (inner,):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _places(key, kind, place)


def _meaning(location: Location) -> str:
    """What the key at this location is for: the first words of its docstring, or of its model's."""
    model = _model_at(location[:-1])
    name, field = next(item for item in model.model_fields.items() if item[1].alias == location[-1])
    words = help_texts(model).get(name) or inspect.getdoc(field.annotation) or ""
    return re.split(r"[.;:]\s", words + " ")[0].replace("\n", " ")


def _model_at(place: Sequence[str | int]) -> type[BaseModel]:
    """The model at a location where pydantic found a missing or unknown key, so it is certain to be a model."""
    model: Any = Settings
    rest = iter(place)
    for alias in rest:
        model = next(field.annotation for field in model.model_fields.values() if field.alias == alias)
        if NoneType in get_args(model):
            [model] = set(get_args(model)) - {NoneType}
        if get_origin(model) is dict:
            model = get_args(model)[1]
            next(rest)  # The name of one entry, which has no model of its own.
    checked: type[BaseModel] = model
    return checked


def _leaves(value: object, place: Location = ()) -> Iterator[tuple[Location, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, str(key)))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*place, index))
    else:
        yield place, value
