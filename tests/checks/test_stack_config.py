"""Reading Pulumi.yaml and Pulumi.<stack>.yaml; expected values are what `pulumi config --json` (3.259) printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from checks.graph import Secret, StackConfig, load_stack_config, record


def load(directory: Path, stack_file: str, project_file: str = "name: homelab\n") -> StackConfig:
    (directory / "Pulumi.yaml").write_text(project_file, encoding="utf-8")
    (directory / "Pulumi.lab.yaml").write_text(stack_file, encoding="utf-8")
    return load_stack_config(directory, "lab")


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("text", "text"),
        ('""', ""),
        ("true", "true"),
        ("yes", "yes"),
        ("5", "5"),
        ("0x1F", "31"),
        ("1e3", "1000"),
        ("1.10", "1.1"),
        ("2.0", "2"),
        ("12:34:56", "12:34:56"),
        ("10.0.0.1", "10.0.0.1"),
        ("null", ""),
        ("[a, b]", '["a","b"]'),
        ("{b: [1, on, ~, 2.0], a: 10.0.0.0/16}", '{"a":"10.0.0.0/16","b":[1,"on",null,2]}'),
    ],
)
def test_a_value_is_the_string_that_the_engine_passes(tmp_path: Path, written: str, seen: str) -> None:
    assert load(tmp_path, f"config:\n  homelab:key: {written}\n") == {"homelab:key": seen}


def test_a_key_without_a_namespace_belongs_to_the_project(tmp_path: Path) -> None:
    assert load(tmp_path, "config:\n  key: a\n  other:key: b\n") == {"homelab:key": "a", "other:key": "b"}


def test_the_project_file_gives_defaults_that_the_stack_overrides(tmp_path: Path) -> None:
    project = (
        "name: homelab\nconfig:\n"
        "  pulumi:disable-default-providers: {value: ['*']}\n"
        "  size: {type: integer, default: 3}\n"
        "  name: {default: overridden}\n"
        "  declared: {type: string}\n"
        "  plain: direct\n"
    )
    assert load(tmp_path, "config:\n  name: mine\n", project) == {
        "pulumi:disable-default-providers": '["*"]',
        "homelab:size": "3",
        "homelab:name": "mine",
        "homelab:plain": "direct",
    }


def test_an_encrypted_value_is_a_placeholder_and_its_key_is_secret(tmp_path: Path) -> None:
    config = load(tmp_path, "config:\n  password: {secure: v1:abc}\n  name: clear\n")
    assert config["homelab:password"] == "secure:homelab:password"
    assert config.secret_keys == {"homelab:password"}


def test_an_encrypted_value_inside_an_object_makes_the_whole_key_secret(tmp_path: Path) -> None:
    config = load(tmp_path, "config:\n  site: {users: [{name: a, password: {secure: v1:abc}}]}\n")
    assert json.loads(config["homelab:site"]) == {
        "users": [{"name": "a", "password": "secure:homelab:site.users[0].password"}]
    }
    assert config.secret_keys == {"homelab:site"}


def test_ciphertext_is_not_passed_on(tmp_path: Path) -> None:
    config = load(tmp_path, "config:\n  a: {secure: CIPHER}\n  b: {c: {secure: CIPHER}}\n")
    assert "CIPHER" not in str(config)


def test_an_unquoted_date_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Pulumi.lab.yaml: line 2: 2027-01-01 is an unquoted date.*put it in quotes"):
        load(tmp_path, "config:\n  valid: {until: 2027-01-01}\n")


def test_an_empty_stack_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert load(tmp_path, "") == {}


def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Pulumi.lab.yaml: a mapping with the key `config`"):
        load(tmp_path, "- a\n")


def test_a_project_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add the project's name"):
        load(tmp_path, "", "runtime: python\n")


def test_a_missing_stack_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: homelab\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"Pulumi.nowhere.yaml"):
        load_stack_config(tmp_path, "nowhere")


def test_a_recording_keeps_the_secret_keys_of_a_stack_secret(tmp_path: Path) -> None:
    program = "import pulumi\nc = pulumi.Config()\npulumi.export('p', c.require_secret('password'))\n"
    program += "pulumi.export('n', c.require('name'))\n"
    (tmp_path / "__main__.py").write_text(program, encoding="utf-8")
    config = load(tmp_path, "config:\n  password: {secure: v1:abc}\n  name: clear\n")
    outputs = record(tmp_path, project=config.project, stack="lab", config=config).stack.outputs
    assert outputs == {"p": Secret("secure:homelab:password"), "n": "clear"}
