"""Objects that exist although nothing in the model makes them: `checks/outside.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks.model.objects import Manager, Object

FILE = Path(__file__).resolve().parent.parent / "outside.yaml"
_KEYS = {"object", "group", "keys", "reason"}


@dataclass(frozen=True)
class Outside:
    """One declared object, and why it exists."""

    thing: Object
    reason: str


def read(file: Path = FILE) -> list[Outside]:
    """Every declared object.

    Raises:
        ValueError: an entry is no object of the form `Kind namespace/name`, or gives no reason.
    """
    content: Any = yaml.safe_load(file.read_text()) if file.is_file() else None
    found = []
    for entry in content or []:
        parts = str(entry.get("object", "")).split() if isinstance(entry, dict) else []
        if len(parts) != 2 or not set(entry) <= _KEYS or len(str(entry.get("reason", "")).split()) < 3:
            raise ValueError(f"{file}: {entry!r}: give object as `Kind namespace/name`, and a reason")
        kind, place = parts
        namespace, _, name = place.rpartition("/")
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        version = f"{entry['group']}/v1" if entry.get("group") else "v1"
        data = dict.fromkeys(entry.get("keys") or [])
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, "data": data}
        thing = Object(body, Manager("kubernetes", ""), str(file), "", open="keys" not in entry)
        found.append(Outside(thing, str(entry["reason"])))
    return found
