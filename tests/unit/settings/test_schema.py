"""The JSON schema in schemas/ and the program that writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stacks.settings import schema
from stacks.settings.model import Settings


def test_the_schema_is_current() -> None:
    assert json.loads(schema.SCHEMA.read_text()) == schema.stack_file_schema(), "run `python -m stacks.settings.schema`"


def test_the_check_fails_on_a_stale_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "settings.schema.json"
    stale.write_text("{}\n")
    monkeypatch.setattr(schema, "SCHEMA", stale)
    monkeypatch.setattr("sys.argv", ["stacks.settings.schema", "--check"])
    assert schema.main() == 1
    assert "python -m stacks.settings.schema" in capsys.readouterr().err


def test_the_check_accepts_what_the_generator_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SCHEMA", tmp_path / "schemas" / "settings.schema.json")
    monkeypatch.setattr("sys.argv", ["stacks.settings.schema"])
    assert schema.main() == 0
    monkeypatch.setattr("sys.argv", ["stacks.settings.schema", "--check"])
    assert schema.main() == 0


def test_every_section_is_a_key_of_the_project() -> None:
    keys = schema.stack_file_schema()["properties"]["config"]["properties"]
    assert {f"homelab:{field.alias}" for field in Settings.model_fields.values()} <= keys.keys()


@pytest.mark.parametrize(
    ("key", "refused"),
    [("homelab:featuers", True), ("homelab:features", False), ("homelab:proxmoxApiToken", False), ("x:y", False)],
)
def test_only_unknown_keys_of_the_project_are_refused(key: str, refused: bool) -> None:
    (pattern,) = schema.stack_file_schema()["properties"]["config"]["patternProperties"]
    assert bool(re.search(pattern, key)) is refused
