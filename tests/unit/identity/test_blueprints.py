"""Blueprints: their form, and that they are what the pinned Authentik knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from checks import blueprints
from components.blueprint import Blueprint, Entry, Env, Find, KeyOf, load
from components.directory import User, directory
from components.versions import AUTHENTIK

FACTS = blueprints.facts()
PLATFORM, VAULT = blueprints.program_blueprints()


def findings(text: str) -> list[str]:
    return [f"{found.resource}: {found.message}" for found in blueprints.findings(text, FACTS, FACTS["lookups"])]


@pytest.mark.parametrize("text", [PLATFORM, VAULT], ids=["platform", "vault"])
def test_a_blueprint_of_the_program_is_what_authentik_knows(text: str) -> None:
    assert findings(text) == []


def test_the_facts_are_of_the_authentik_that_runs() -> None:
    assert FACTS["version"] == AUTHENTIK.version


MODELS = sorted(blueprints.models([PLATFORM, VAULT]))


@pytest.mark.parametrize("model", MODELS)
def test_a_wrong_field_is_found_in_each_kind_of_entry(model: str) -> None:
    document = load(PLATFORM)
    entry = next(entry for entry in document["entries"] if entry["model"] == model)
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
        f"seeded entries[0] ({model}).nmae: is no such field"
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


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("model: authentik_core.user", "model: authentik_core.person", "Authentik has no model"),
        ("client_type: confidential", "client_type: secret", "'secret' is no choice; there are confidential, public"),
        ("matching_mode: strict", "matching_mod: strict", "matching_mod: is no such field"),
        ("enabled: true", "enabled: 'yes'", "'yes' is not of type boolean"),
        ('["managed", "goauth', '["slug", "goauth', "!Find looks for authentik_crypto.certificatekeypair by 'slug'"),
        ("!Find [\"authentik_crypto.", "!Find [\"authentik_keys.", "nothing is known of that model"),
        ("scope_name: email\n", "\n", "scope_name: is demanded and missing"),
        ("version: 1", "version: 1\nentrys: []", "is no key of a blueprint"),
        ("  id: gitea-provider", "  id: gitea-provider\n  attr: {}", "is no key of an entry"),
        ("  id: gitea-provider", "  id: gitea-provider\n  state: absnt", "'absnt' is no state"),
        ("!Find", "!Fnd", "is no blueprint"),
    ],
)  # fmt: skip
def test_what_authentik_does_not_know_is_found(old: str, new: str, finding: str) -> None:
    assert old in PLATFORM
    assert any(finding in found for found in findings(PLATFORM.replace(old, new)))


def test_a_whole_schema_is_checked_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = {"title": "authentik of a test", "$defs": json.loads(json.dumps(FACTS["$defs"]))}
    del schema["$defs"]["model_authentik_core.group"]["properties"]["name"]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    assert blueprints.main(["--schema", str(tmp_path / "schema.json")]) == 1
    assert "(authentik_core.group).name: is no such field" in capsys.readouterr().out


def test_the_kept_facts_are_that_part_of_a_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = {"$defs": {**FACTS["$defs"], "model_authentik_core.token": {"type": "object", "properties": {}}}}
    (tmp_path / "schema.json").write_text(json.dumps(whole))
    assert blueprints.main(["--schema", str(tmp_path / "schema.json"), "--facts"]) == 0
    assert load(capsys.readouterr().out) == {"$defs": FACTS["$defs"]}


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
    found = {
        tag.model for entry in load(PLATFORM)["entries"] for tag in blueprints.tags(entry) if isinstance(tag, Find)
    }
    assert found == {"authentik_crypto.certificatekeypair"}


def test_no_user_has_a_password() -> None:
    assert "password" not in PLATFORM


def test_a_user_in_a_group_that_is_not_there_is_refused() -> None:
    user = User(email="a@example.org", username="a1", name="A", groups=("gitea-admin",))
    with pytest.raises(ValueError, match=r"'gitea-admin' of .* is no group; choose from gitea-admins"):
        directory(["gitea-admins"], [user])


def test_two_users_of_one_name_are_refused() -> None:
    users = [User(email=f"{x}@example.org", username="same", name="A", groups=()) for x in "ab"]
    with pytest.raises(ValueError, match="'same' stands twice"):
        directory([], users)


@pytest.mark.parametrize("username", ["a@example.org", "Agent", "-a", "a..b"])
def test_a_name_that_some_service_refuses_is_refused(username: str) -> None:
    with pytest.raises(ValueError, match="is not taken by every service"):
        User(email="a@example.org", username=username, name="A", groups=())
