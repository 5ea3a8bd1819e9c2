"""Checks Authentik's blueprints against Authentik's own schema of its models.

The rule: the pinned Authentik knows every key, model, field and enumerated value, all required fields are present, and
objects are looked up, by `!Find` or by an entry's identifiers, through fields that identify them uniquely. Authentik
itself silently drops an unknown field.

`authentik_models.yaml` keeps the part of that schema about the models that are used here. The whole of it is the file
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
from typing import Any, Final

import yaml

from checks.graph import Finding
from components.identity.blueprint import Find, Tag, load, tags
from components.identity.directory import User
from components.identity.proxied import Proxied
from stacks import sso
from stacks.proxied import PROXIED

EXAMPLE: Final = Proxied(
    slug="an-example",
    title="An example",
    namespace="an-example",
    host="an-example",
    groups=sso.groups()[:1],
    open_paths=["^/api/"],
)
"""So that this form of row is checked, whether or not the table has one."""

FACTS: Final = Path(__file__).with_name("authentik_models.yaml")
_RULE: Final = "blueprint"
_MOST_CHOICES: Final = 40
"""Longer enumerations are not kept; the only one lists all of Authentik's permissions."""

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "array": list,
    "object": dict,
    "null": type(None),
}


def facts() -> dict[str, Any]:
    """The content of `authentik_models.yaml`: a part of a blueprint schema, and facts that no schema contains.

    `lookups`: model to the fields that identify one of its objects.
    `demanded`: model to the fields without which an object is rejected or useless.
    """
    content: dict[str, Any] = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    return content


def schema_of(text: str) -> dict[str, Any]:
    """Authentik's file. Before 2026.8.0 it called `$defs` what is `definitions` in the JSON Schema that it names."""
    schema: dict[str, Any] = json.loads(text.replace('"#/$defs/', '"#/definitions/'))
    return {**schema, "definitions": schema.get("definitions") or schema["$defs"]}


def findings(text: str, schema: Mapping[str, Any], own: Mapping[str, Any]) -> list[Finding]:
    """Everything in a blueprint's text that Authentik would drop or reject.

    schema: a blueprint schema of Authentik or a part of it.
    own: `lookups` and `demanded`, as in `facts`.
    """
    try:
        document = load(text)
    except yaml.YAMLError as error:
        return [_finding("document", f"is not a blueprint: {error}")]
    name = str(document.get("metadata", {}).get("name"))
    return [
        *_value(name, document, schema, schema),
        *(
            found
            for index, entry in enumerate(document.get("entries", []))
            for found in _entry(f"{name} entries[{index}] ({entry.get('model')})", entry, schema, own)
        ),
    ]


def program_blueprints() -> list[str]:
    """The blueprints of this program, for an example domain, user and application behind Authentik."""
    someone = User(email="someone@example.org", username="someone", name="Someone", groups=tuple(sso.groups()))
    behind = [*PROXIED, EXAMPLE]
    return [sso.platform_blueprint("example.org", [someone], behind).text(), sso.vault_blueprint("example.org").text()]


def kept(schema: Mapping[str, Any], models: set[str]) -> dict[str, Any]:
    """The part of a blueprint schema that describes a document and entries of `models`, without prose."""
    forms = [form for form in _forms(schema) if _model(form) in models]
    definitions = {"blueprint_entry": {"oneOf": forms}}
    definitions |= {name: schema["definitions"][name] for form in forms for name in _references(form)}
    part = {"required": schema["required"], "properties": schema["properties"]}
    return {
        **_plain(part),
        "definitions": {name: _plain(definition) for name, definition in sorted(definitions.items())},
    }


def models(texts: list[str]) -> set[str]:
    """The models of these blueprints' entries."""
    return {entry["model"] for text in texts for entry in load(text)["entries"]}


def _entry(
    place: str, entry: Mapping[str, Any], schema: Mapping[str, Any], own: Mapping[str, Any]
) -> Iterator[Finding]:
    identifiers, attrs, model = entry.get("identifiers", {}), entry.get("attrs", {}), str(entry.get("model"))
    for tag in tags(identifiers, attrs):
        if isinstance(tag, Find):
            yield from _look_up(place, "!Find looks", tag.model, [tag.by], own)
    form = next((form for form in _forms(schema) if _model(form) == model), None)
    if form is None:
        yield _finding(f"{place}.model", f"Authentik has no model {model!r}")
        return
    yield from _value(place, entry, form, schema)
    if not identifiers:
        yield _finding(f"{place}.identifiers", "is empty, so that the object could not be found again")
    yield from _look_up(f"{place}.identifiers", "an entry looks", model, list(identifiers), own)
    if entry.get("state") != "absent":
        for key in sorted(set(own["demanded"].get(model, ())) - {*identifiers, *attrs}):
            yield _finding(f"{place}.attrs.{key}", "is required but missing")


def _look_up(place: str, who: str, model: str, by: list[str], own: Mapping[str, Any]) -> Iterator[Finding]:
    known = own["lookups"].get(model, [])
    for field in by:
        if field not in known:
            fields = ", ".join(known) or "nothing is known of that model"
            yield _finding(place, f"{who} for {model} by {field!r}, which does not identify it; what does: {fields}")


def _value(place: str, value: Any, definition: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Finding]:
    if "$ref" in definition:
        definition = schema["definitions"][_name(definition["$ref"])]
    if isinstance(value, Tag):
        return  # Filled in by Authentik; what it may name is checked apart.
    kinds = definition.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_is(value, kind) for kind in kinds):
        yield _finding(place, f"{value!r} is not of type {' or '.join(kinds)}")
        return
    yield from (_finding(place, message) for message in _beyond(value, definition))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value(f"{place}[{index}]", item, definition.get("items", {}), schema)
    if isinstance(value, Mapping) and "properties" in definition:
        known = definition["properties"]
        for key in sorted(value.keys() - known.keys()):
            yield _finding(f"{place}.{key}", f"is not a known field; there are {', '.join(sorted(known))}")
        for key in sorted(set(definition.get("required", ())) - value.keys()):
            yield _finding(f"{place}.{key}", "is required but missing")
        for key in sorted(value.keys() & known.keys()):
            yield from _value(f"{place}.{key}", value[key], known[key], schema)


def _beyond(value: Any, definition: Mapping[str, Any]) -> Iterator[str]:
    """What may be wrong with a value of the right type."""
    if "enum" in definition and value not in definition["enum"]:
        yield f"{value!r} is not a choice; there are {', '.join(map(str, definition['enum']))}"
    if isinstance(value, str) and len(value) < definition.get("minLength", 0):
        yield "must not be empty"
    if isinstance(value, str) and len(value) > definition.get("maxLength", len(value)):
        yield f"has {len(value)} characters; the maximum is {definition['maxLength']}"
    if isinstance(value, int) and not definition.get("minimum", value) <= value <= definition.get("maximum", value):
        yield f"{value} is not between {definition.get('minimum')} and {definition.get('maximum')}"


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))


def _forms(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The allowed forms of an entry, one per model."""
    forms: list[dict[str, Any]] = schema["definitions"]["blueprint_entry"]["oneOf"]
    return forms


def _model(form: Mapping[str, Any]) -> str:
    return str(form["properties"]["model"]["const"])


def _references(form: Mapping[str, Any]) -> set[str]:
    return {_name(field["$ref"]) for field in form["properties"].values() if "$ref" in field}


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _plain(definition: Any) -> Any:
    """A definition without prose and long lists of choices; a property may well have the name of what is left out."""
    if isinstance(definition, list):
        return [_plain(item) for item in definition]
    if not isinstance(definition, dict):
        return definition
    return {
        key: {name: _plain(value) for name, value in inner.items()} if key == "properties" else _plain(inner)
        for key, inner in definition.items()
        if key not in {"$id", "title", "description", "default", "format"}
        and not (key == "required" and not inner)
        and not (key == "enum" and len(inner) > _MOST_CHOICES)
    }


def _finding(where: str, message: str) -> Finding:
    return Finding(_RULE, where, message)


def main(arguments: list[str]) -> int:
    """The command: 1 with findings on standard output, otherwise 0."""
    parser = argparse.ArgumentParser(prog="python -m checks.blueprints")
    parser.add_argument("--schema", type=Path, help="blueprints/schema.json of Authentik; default: the part kept here")
    parser.add_argument("--facts", action="store_true", help="print the part of the schema that is kept here")
    options = parser.parse_args(arguments)
    texts, own = program_blueprints(), facts()
    schema = own if options.schema is None else schema_of(options.schema.read_text(encoding="utf-8"))
    if options.facts:
        part = json.loads(json.dumps(kept(schema, models(texts))))  # Without what would become an alias in YAML.
        print(yaml.safe_dump(part, default_flow_style=None, sort_keys=True, width=120), end="")
        return 0
    found = [str(finding) for text in texts for finding in findings(text, schema, own)]
    known = schema.get("title") or f"what is kept of Authentik {own['version']}"
    print("\n".join(found) or f"{len(texts)} blueprints agree with {known}")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
