"""Reads a stack's configuration files as the engine does, without the key that decrypts them.

Owns the translation into what a program sees: one string per namespaced key. `stacks.settings` interprets the values.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stacks.settings import stack_file


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
        ValueError: a file is refused by `stack_file`, or `Pulumi.yaml` names no project.
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
        values[key] = _as_string(clear)
    return StackConfig(values, frozenset(secret_keys), project)


def _read(file: Path) -> dict[str, Any]:
    try:
        return stack_file.parse(file.read_text(encoding="utf-8"))
    except stack_file.StackFileError as error:
        raise ValueError(f"{file}: {error}") from None


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


def _as_string(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
