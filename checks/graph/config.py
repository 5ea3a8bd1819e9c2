"""Reads a stack's configuration files as the engine does, without the key that decrypts them.

Owns the translation into what a program sees: one string per namespaced key. `stacks.settings` interprets the values.
"""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import yaml


class StackConfig(dict[str, str]):
    """Namespaced configuration key to value, objects as JSON; encrypted values are placeholders."""

    def __init__(self, values: dict[str, str], secret_keys: frozenset[str], project: str) -> None:
        super().__init__(values)
        self.secret_keys = secret_keys
        """Keys that are encrypted, or hold something that is."""
        self.project = project
        """Name of the project that the stack belongs to."""


def load_stack_config(path: Path, stack: str) -> StackConfig:
    """Return the configuration of `stack` from `Pulumi.yaml` and `Pulumi.<stack>.yaml` in the directory `path`.

    An encrypted value becomes the string `secure:<key>`, inside an object too, which makes its whole key secret.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: a file is not a mapping, `Pulumi.yaml` names no project, or a value is an unquoted date.
    """
    project_file = _read(path / "Pulumi.yaml")
    stack_file = _read(path / f"Pulumi.{stack}.yaml")
    if "name" not in project_file:
        raise ValueError(f"{path / 'Pulumi.yaml'}: no 'name': add the project's name")
    project = str(project_file["name"])
    raw: dict[str, Any] = {}
    for key, entry in (project_file.get("config") or {}).items():
        raw.update({_full(project, key): value for value in _project_default(entry)})
    raw.update({_full(project, key): value for key, value in (stack_file.get("config") or {}).items()})

    values: dict[str, str] = {}
    secret_keys: set[str] = set()
    for key, value in raw.items():
        clear = _without_ciphertext(key, value)
        if clear != value:
            secret_keys.add(key)
        values[key] = _as_string(key, clear)
    return StackConfig(values, frozenset(secret_keys), project)


class _Loader(yaml.SafeLoader):
    """The engine reads YAML 1.2, where `yes` and `12:34:56` are strings, unlike in YAML 1.1."""


_NUMBERS = "-+.0123456789"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge", "timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _type, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)", _NUMBERS),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", _NUMBERS),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(f"^(?:{_pattern})$"), _first)  # type: ignore[no-untyped-call]


def _read(file: Path) -> dict[str, Any]:
    content = yaml.load(file.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a subclass of the safe loader
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{file}: holds a {type(content).__name__}: a mapping with 'config' is expected")
    return content


def _full(project: str, key: str) -> str:
    return key if ":" in key else f"{project}:{key}"


def _project_default(entry: Any) -> list[Any]:
    """Return the value that `Pulumi.yaml` gives a key: plain, or as `value` or `default` beside a type; or none."""
    if not isinstance(entry, dict):
        return [entry]
    return [entry[word] for word in ("value", "default") if word in entry][:1]


def _without_ciphertext(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            return f"secure:{key}"
        return {name: _without_ciphertext(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_ciphertext(f"{key}[{index}]", item) for index, item in enumerate(value)]
    return value


def _as_string(key: str, value: Any) -> str:
    value = _as_json(key, value)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _as_json(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _as_json(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(f"{key}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, datetime.date):
        raise ValueError(f"{key}: {value} is an unquoted date, which the engine would rewrite: put it in quotes")
    return int(value) if isinstance(value, float) and value.is_integer() else value
