"""Blueprints: their form, and that they are what the pinned Authentik knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks import blueprints
from components.identity.blueprint import Blueprint, Entry, Env, Find, KeyOf, load, tags
from components.identity.directory import User, directory
from components.kit.versions import AUTHENTIK

FACTS = blueprints.facts()
PLATFORM, VAULT = blueprints.program_blueprints()


def findings(text: str) -> list[str]:
    return [f"{found.resource}: {found.message}" for found in blueprints.findings(text, FACTS, FACTS)]


@pytest.mark.parametrize("text", [PLATFORM, VAULT], ids=["platform", "vault"])
def test_a_blueprint_of_the_program_is_what_authentik_knows(text: str) -> None:
    assert findings(text) == []


def test_the_facts_are_of_the_authentik_that_runs() -> None:
    assert FACTS["version"] == AUTHENTIK.version


MODELS = sorted(blueprints.models([PLATFORM, VAULT]))


@pytest.mark.parametrize("model", MODELS)
def test_a_wrong_field_is_found_in_each_kind_of_entry(model: str) -> None:
    entry = first(model)
    text = Blueprint(
        name="seeded",
        entries=(
            Entry(
                model=model,
                identifiers=_plain(entry["identifiers"]),
                attrs={"nmae": "x", **_plain(entry.get("attrs", {}))},
            ),
        ),
    ).text()
    assert [found.partition(";")[0] for found in findings(text)] == [
        f"seeded entries[0] ({model}).attrs.nmae: is not a known field"
    ]


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields without references to other entries, of which there are none."""
    return {
        key: Find("authentik_core.group", "name", "x")
        if isinstance(value, KeyOf)
        else [Find("authentik_core.group", "name", "x")]
        if isinstance(value, list) and any(isinstance(item, KeyOf) for item in value)
        else value
        for key, value in fields.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_an_identifier_that_could_be_that_of_another_object_is_found_in_each_kind_of_entry(model: str) -> None:
    text = PLATFORM.replace("  identifiers:\n", "  identifiers:\n    other: x\n")
    assert any(f"({model}).identifiers: an entry looks for {model} by 'other'" in found for found in findings(text))


def first(model: str) -> dict[str, Any]:
    entry: dict[str, Any] = next(entry for entry in load(PLATFORM)["entries"] if entry["model"] == model)
    return entry


@pytest.mark.parametrize(
    ("model", "field"),
    [
        (model, field)
        for model in MODELS
        for field in FACTS["demanded"][model]
        if field in first(model).get("attrs", {})
    ],
)
def test_a_field_that_a_new_object_needs_is_found_missing(model: str, field: str) -> None:
    fields = _plain(first(model)["attrs"])
    del fields[field]
    entry = Entry(model=model, identifiers=_plain(first(model)["identifiers"]), attrs=fields)
    assert findings(Blueprint(name="seeded", entries=(entry,)).text()) == [
        f"seeded entries[0] ({model}).attrs.{field}: is required but missing"
    ]


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("model: authentik_core.user", "model: authentik_core.person", "Authentik has no model"),
        ("client_type: confidential", "client_type: secret",
         "'secret' is not a choice; there are confidential, public"),
        ("matching_mode: strict", "matching_mod: strict", "matching_mod: is not a known field"),
        ("matching_mode: strict", "redirect_uri: x", "redirect_uris[0].matching_mode: is required but missing"),
        ("enabled: true", "enabled: 'yes'", "'yes' is not of type boolean"),
        ("order: 0", "order: 2147483648", "2147483648 is not between -2147483648 and 2147483647"),
        ("username: someone", f"username: {'x' * 151}", "has 151 characters; the maximum is 150"),
        ("username: someone", "username: ''", "must not be empty"),
        ('["managed", "goauth', '["slug", "goauth', "!Find looks for authentik_crypto.certificatekeypair by 'slug'"),
        ("!Find [\"authentik_crypto.", "!Find [\"authentik_keys.", "nothing is known of that model"),
        ("scope_name: email\n", "\n", "scope_name: is required but missing"),
        ("version: 1", "version: 1\nentrys: []", "is not a known field; there are context, entries, metadata, version"),
        ("version: 1\n", "", "version: is required but missing"),
        ("  name: Homelab\n", "  nmae: Homelab\n", "metadata.nmae: is not a known field; there are labels, name"),
        ("  id: gitea-provider", "  id: gitea-provider\n  attr: {}",
         "is not a known field; there are attrs, conditions"),
        ("  id: gitea-provider", "  id: gitea-provider\n  state: absnt", "'absnt' is not a choice; there are absent"),
        ("  id: gitea-provider", "  id: gitea-provider\n  conditions: ['x']", "'x' is not of type boolean"),
        ("  id: gitea-provider", "  id: gitea-provider\n  permissions: [{permission: own}]", "'own' is not a choice"),
        ("    username: someone\n", "    {}\n", "identifiers: is empty"),
        ("!Find", "!Fnd", "is not a blueprint"),
    ],
)  # fmt: skip
def test_what_authentik_does_not_know_is_found(old: str, new: str, finding: str) -> None:
    assert old in PLATFORM
    assert any(finding in found for found in findings(PLATFORM.replace(old, new)))


OF_EACH_TYPE = {"string": "a", "boolean": True, "integer": 1, "array": [], "object": {}, "null": None}


@pytest.mark.parametrize("kind", OF_EACH_TYPE)
@pytest.mark.parametrize("given", OF_EACH_TYPE)
def test_a_value_is_of_its_own_type_and_of_no_other(kind: str, given: str) -> None:
    """Python takes a truth value for a number; Authentik refuses it."""
    found = list(blueprints._value("here", OF_EACH_TYPE[given], {"type": kind}, {}))
    assert bool(found) is (kind != given)


@pytest.mark.parametrize("called", ["definitions", "$defs"])
def test_a_whole_schema_is_checked_by_the_command(
    called: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = whole(called)
    del schema[called]["model_authentik_core.group"]["properties"]["name"]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    assert blueprints.main(["--schema", str(tmp_path / "schema.json")]) == 1
    assert "(authentik_core.group).identifiers.name: is not a known field" in capsys.readouterr().out


@pytest.mark.parametrize("called", ["definitions", "$defs"])
def test_the_kept_facts_are_that_part_of_a_schema(
    called: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(whole(called)))
    assert blueprints.main(["--schema", str(tmp_path / "schema.json"), "--facts"]) == 0
    part = {key: FACTS[key] for key in ("required", "properties", "definitions")}
    assert load(capsys.readouterr().out) == part


def whole(called: str) -> dict[str, Any]:
    """What is kept, in the form of Authentik's file: with prose, with models that are not used, and one of no table.

    called: the key of its definitions, which is another one since 2026.8.0.
    """
    definitions = json.loads(json.dumps(FACTS["definitions"]).replace("#/definitions/", f"#/{called}/"))
    forms = definitions["blueprint_entry"]["oneOf"]
    token = json.loads(json.dumps(forms[0]).replace("authentik_core.application", "authentik_core.token"))
    meta = json.loads(json.dumps(token).replace("authentik_core.token", "authentik_blueprints.metaapplyblueprint"))
    del meta["properties"]["identifiers"]
    forms += [token, meta]
    for name, definition in definitions.items():
        if name != "blueprint_entry" and not name.endswith("_permissions"):
            definition |= {"title": "It", "description": "What it is.", "required": []}
    permissions = definitions["model_authentik_core.user"]["properties"]["permissions"]
    permissions["items"]["enum"] = [f"app.view_{number}" for number in range(600)]
    return {
        "$schema": "http://json-schema.org/draft-07/schema",
        "title": "authentik of a test",
        "type": "object",
        "required": FACTS["required"],
        "properties": FACTS["properties"],
        called: definitions,
    }


def test_tags_are_written_as_authentik_reads_them() -> None:
    entry = Entry(
        model="m.n",
        identifiers={"name": "a"},
        attrs={"one": Find("a.b", "slug", "c: d"), "two": Env("HOME"), "three": "yes"},
        id="it",
    )
    text = Blueprint(name="x", entries=(entry,)).text()
    assert 'one: !Find ["a.b", ["slug", "c: d"]]' in text
    assert load(text)["entries"] == [entry.document()]


def test_a_reference_to_a_later_entry_is_refused() -> None:
    entries = (Entry(model="m.n", identifiers={"name": KeyOf("b")}), Entry(model="m.n", identifiers={"n": "b"}, id="b"))
    with pytest.raises(ValueError, match="!KeyOf b has no earlier entry of that id"):
        Blueprint(name="x", entries=entries)


def test_the_first_blueprint_needs_nothing_that_another_one_makes() -> None:
    found = {tag.model for entry in load(PLATFORM)["entries"] for tag in tags(entry) if isinstance(tag, Find)}
    assert found == {"authentik_crypto.certificatekeypair"}


def test_no_user_has_a_password() -> None:
    assert "password" not in PLATFORM


def test_a_user_in_a_group_that_is_not_there_is_refused() -> None:
    user = User(email="a@example.org", username="a1", name="A", groups=("gitea-admin",))
    with pytest.raises(ValueError, match=r"'gitea-admin' of .* is not a group; choose from gitea-admins"):
        directory(["gitea-admins"], [user])


def test_two_users_of_one_name_are_refused() -> None:
    users = [User(email=f"{x}@example.org", username="same", name="A", groups=()) for x in "ab"]
    with pytest.raises(ValueError, match="'same' appears twice"):
        directory([], users)


@pytest.mark.parametrize("username", ["a@example.org", "Agent", "-a", "a..b"])
def test_a_name_that_some_service_refuses_is_refused(username: str) -> None:
    with pytest.raises(ValueError, match="is not taken by every service"):
        User(email="a@example.org", username=username, name="A", groups=())
