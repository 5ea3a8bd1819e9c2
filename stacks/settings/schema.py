"""The JSON schema of a stack file, for editors.

`python -m stacks.settings.schema` writes it, `--check` reports whether it is up to date. It is generated from the
models alone, so it contains types, bounds and patterns, but not the rules between values.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from stacks.settings.credentials import PREFIX, SECRET_KEYS
from stacks.settings.model import Settings

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "settings.schema.json"


def stack_file_schema() -> dict[str, Any]:
    """The schema of `Pulumi.<stack>.yaml`: our own for `homelab:` keys; keys of other namespaces may be anything."""
    settings = Settings.model_json_schema(by_alias=True)
    keys = {PREFIX + key: value for key, value in settings["properties"].items()}
    secret = {
        "type": "object",
        "description": f"Set with `pulumi config set --secret {PREFIX}<key>`.",
        "properties": {"secure": {"type": "string"}},
        "required": ["secure"],
        "additionalProperties": False,
    }
    keys |= {PREFIX + key: secret for key in SECRET_KEYS}
    known = "|".join(re.escape(key.removeprefix(PREFIX)) for key in keys)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pulumi stack file of the project homelab",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": keys,
                "required": [PREFIX + key for key in settings["required"]],
                "patternProperties": {f"^{PREFIX}(?!({known})$)": False},
            }
        },
        "required": ["config"],
        "$defs": settings["$defs"],
    }
    _tidy(schema["$defs"])
    _tidy(keys)
    return schema


def _tidy(schema: Any) -> None:
    """Reject keys that match no pattern of a map, which pydantic allows; drop titles, which only repeat names."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for value in schema.values():
            _tidy(value)


def main() -> int:
    """Write or check the file; return 1 if it is out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m stacks.settings.schema", description="The JSON schema of a stack file."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the file is out of date")
    text = json.dumps(stack_file_schema(), indent=2) + "\n"
    if parser.parse_args().check:
        if not SCHEMA.exists() or SCHEMA.read_text() != text:
            print(f"{SCHEMA.name} does not match the models; run `python -m stacks.settings.schema`", file=sys.stderr)
            return 1
        return 0
    SCHEMA.parent.mkdir(exist_ok=True)
    SCHEMA.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
