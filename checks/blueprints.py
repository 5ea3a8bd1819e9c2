"""Checks Authentik's blueprints against Authentik's own description of its models.

The rule: every model, every field and every value of a choice is one that the pinned Authentik knows, what it demands
is there, and a `!Find` looks by a field that the model has. Authentik itself drops an unknown field without a word.

`authentik_models.yaml` keeps what that description says of the models that are used here. The whole of it is the file
blueprints/schema.json in Authentik's repository:

    python -m checks.blueprints --schema FILE           checks the blueprints of this program against all of FILE
    python -m checks.blueprints --schema FILE --facts   prints that part of FILE which is kept
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from checks.graph import Finding
from components.blueprint import Find, Tag, load, tags
from components.directory import User
from stacks import sso

FACTS = Path(__file__).with_name("authentik_models.yaml")
_RULE = "blueprint"
_TOP = {"version", "metadata", "context", "entries"}
_ENTRY = {"model", "id", "state", "conditions", "permissions", "identifiers", "attrs"}
_STATES = ("present", "created", "must_created", "absent")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "array": list,
    "object": dict,
    "null": type(None),
}


def facts() -> dict[str, Any]:
    """The content of `authentik_models.yaml`: a part of a blueprint schema, and the fields that `!Find` may look by."""
    kept: dict[str, Any] = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    return kept


def findings(text: str, schema: Mapping[str, Any], lookups: Mapping[str, list[str]]) -> list[Finding]:
    """Everything in a blueprint's text that Authentik would drop or refuse.

    schema: a blueprint schema of Authentik or a part of it.
    lookups: model to the fields that a `!Find` may look by.
    """
    try:
        document = load(text)
    except yaml.YAMLError as error:
        return [_finding("document", f"is no blueprint: {error}")]
    name = str(document.get("metadata", {}).get("name"))
    return [
        *(_finding(f"{name} {key}", "is no key of a blueprint") for key in document.keys() - _TOP),
        *(
            found
            for index, entry in enumerate(document.get("entries", []))
            for found in _entry(f"{name} entries[{index}]", entry, schema, lookups)
        ),
    ]


def program_blueprints() -> list[str]:
    """The blueprints of this program, for a domain and a user of no platform."""
    someone = User(email="someone@example.org", username="someone", name="Someone", groups=tuple(sso.groups()))
    return [sso.platform_blueprint("example.org", [someone]).text(), sso.vault_blueprint("example.org").text()]


def kept(schema: Mapping[str, Any], models: set[str]) -> dict[str, Any]:
    """That part of a blueprint schema which describes `models`, without prose."""
    return {"$defs": {_definition(model): _plain(schema["$defs"][_definition(model)]) for model in sorted(models)}}


def models(texts: list[str]) -> set[str]:
    """The models of these blueprints' entries."""
    return {entry["model"] for text in texts for entry in load(text)["entries"]}


def _entry(
    place: str, entry: Mapping[str, Any], schema: Mapping[str, Any], lookups: Mapping[str, list[str]]
) -> Iterator[Finding]:
    for key in sorted(entry.keys() - _ENTRY):
        yield _finding(f"{place}.{key}", f"is no key of an entry; there are {', '.join(sorted(_ENTRY))}")
    if entry.get("state", "present") not in _STATES:
        yield _finding(f"{place}.state", f"{entry['state']!r} is no state; choose from {', '.join(_STATES)}")
    for tag in tags(entry.get("identifiers", {}), entry.get("attrs", {})):
        if isinstance(tag, Find) and tag.by not in lookups.get(tag.model, []):
            fields = ", ".join(lookups.get(tag.model, [])) or "nothing is known of that model"
            yield _finding(place, f"!Find looks for {tag.model} by {tag.by!r}, which it does not have: {fields}")
    model = str(entry.get("model"))
    definition = schema["$defs"].get(_definition(model))
    if definition is None:
        yield _finding(f"{place}.model", f"Authentik has no model {model!r}")
        return
    if not entry.get("identifiers"):
        yield _finding(f"{place}.identifiers", "is missing, so that the object could not be found again")
    written = {**entry.get("identifiers", {}), **entry.get("attrs", {})}
    yield from _value(f"{place} ({model})", written, definition, schema)


def _value(place: str, value: Any, definition: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Finding]:
    if "$ref" in definition:
        definition = schema["$defs"][definition["$ref"].removeprefix("#/$defs/")]
    if isinstance(value, Tag):
        return  # Filled in by Authentik; what it may name is checked apart.
    kinds = definition.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_is(value, kind) for kind in kinds):
        yield _finding(place, f"{value!r} is not of type {' or '.join(kinds)}")
        return
    if "enum" in definition and value not in definition["enum"]:
        yield _finding(place, f"{value!r} is no choice; there are {', '.join(map(str, definition['enum']))}")
    if isinstance(value, str) and len(value) < definition.get("minLength", 0):
        yield _finding(place, "must not be empty")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value(f"{place}[{index}]", item, definition.get("items", {}), schema)
    if isinstance(value, Mapping) and "properties" in definition:
        known = definition["properties"]
        for key in value.keys() - known.keys():
            yield _finding(f"{place}.{key}", f"is no such field; there are {', '.join(sorted(known))}")
        for key in sorted(set(definition.get("required", ())) - value.keys()):
            yield _finding(f"{place}.{key}", "is demanded and missing")
        for key in value.keys() & known.keys():
            yield from _value(f"{place}.{key}", value[key], known[key], schema)


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))


def _definition(model: str) -> str:
    return f"model_{model}"


def _plain(definition: Any) -> Any:
    """A definition without titles and descriptions; a property may well be called like them."""
    if not isinstance(definition, dict):
        return definition
    return {
        key: {name: _plain(value) for name, value in inner.items()} if key == "properties" else _plain(inner)
        for key, inner in definition.items()
        if key not in {"title", "description", "default", "format"}
    }


def _finding(where: str, message: str) -> Finding:
    return Finding(_RULE, where, message)


def main(arguments: list[str]) -> int:
    """The command: 1 with findings on standard output, else 0."""
    parser = argparse.ArgumentParser(prog="python -m checks.blueprints")
    parser.add_argument("--schema", type=Path, help="blueprints/schema.json of Authentik; default: what is kept of it")
    parser.add_argument("--facts", action="store_true", help="print the part of it that is kept")
    options = parser.parse_args(arguments)
    texts, own = program_blueprints(), facts()
    schema = own if options.schema is None else json.loads(options.schema.read_text(encoding="utf-8"))
    if options.facts:
        print(yaml.safe_dump(kept(schema, models(texts)), sort_keys=True, width=120), end="")
        return 0
    found = [str(finding) for text in texts for finding in findings(text, schema, own["lookups"])]
    print("\n".join(found) or f"{len(texts)} blueprints are those of {schema.get('title', 'an Authentik')}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
