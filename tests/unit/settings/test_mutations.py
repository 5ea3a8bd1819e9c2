"""Every value of both stack files, one after the other, replaced by what does not belong there.

Nothing but a list of findings may leave `load`: each on one line, with the place, and with a way out.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest

from stacks.settings import stack_file
from stacks.settings.errors import SettingsError
from stacks.settings.load import load
from tests.conftest import ROOT

CREDENTIALS = {
    "proxmoxApiToken": "root@pam!ci=00000000-0000-0000-0000-000000000000",
    "tailscaleAuthKey": "tskey-auth-x",
}
CREDENTIALS |= {"edgeSshKey": "x", "edgeTsigKey": "x", "gitDeployKey": "x"}
HOST_KEY = f"ssh-ed25519 {'A' * 68}"

# Missing, empty, of another type, huge, in another script, and what YAML, JSON, a shell or a template could trip over.
INSTEAD: tuple[Any, ...] = (
    *(None, "", 0, -1, True, 1.5, 10**15, [], {}, [None], [[]], {"a": None}, {"": ""}, ["x"] * 50),
    *("x", "yes", "~", "0x10", "a\nb", "9" * 5000, "\u202e\u0000é", "\ud800", "١٢٣", "{{ x }}", "${HOME}", "../.."),
    *("https://[", "http://a:b@c", "10.0.0.0/0", "::1", "%00"),
)
KEYS = ("", "a\nb", "\u200bname", "x" * 5000)

Place = tuple[str | int, ...]
LINES = {stack: (ROOT / f"Pulumi.{stack}.yaml").read_text().splitlines() for stack in ("prod", "lab")}


def config(stack: str) -> dict[str, Any]:
    content: dict[str, Any] = stack_file.parse("\n".join(LINES[stack]))["config"]
    content["homelab:edge"].setdefault("ssh", {})["hostKey"] = HOST_KEY
    # With a token, which both files can have.
    content["homelab:site"].pop("username", None)
    return content


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    if here:
        yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*here, key))


def findings(changed: dict[str, Any]) -> tuple[str, ...]:
    """What a preview says of a configuration, handed over as the engine does it."""
    # The engine takes a key without a namespace for one of the project.
    changed = {key if ":" in key else f"homelab:{key}": value for key, value in changed.items()}
    plain = {
        key: value if isinstance(value, str) else "" if value is None else json.dumps(value)
        for key, value in changed.items()
    }
    secret = {f"homelab:{key}": value for key, value in CREDENTIALS.items()}

    def isolated() -> tuple[str, ...]:
        pulumi.runtime.set_all_config(plain | secret, list(secret))
        try:
            load()
        except SettingsError as error:
            return error.findings
        return ()

    return contextvars.copy_context().run(isolated)


def unfit(lines: tuple[str, ...]) -> list[str]:
    """The findings that a person could not use: of more than one line, without a place or a remedy, or endless."""
    return [line for line in lines if not _usable(line)]


def _usable(line: str) -> bool:
    helps = "; " in line or "did you mean" in line
    return line.startswith("homelab:") and line.isprintable() and len(line) < 1500 and helps


@pytest.fixture(autouse=True)
def in_a_preview(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    monkeypatch.setattr(pulumi.log, "warn", lambda _: None)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.mark.parametrize("stack", LINES)
def test_the_files_that_are_mutated_are_accepted_as_they_are(stack: str) -> None:
    assert findings(config(stack)) == ()


@pytest.mark.parametrize("stack", LINES)
def test_whatever_a_value_is_replaced_by_ends_in_findings_or_is_right(stack: str) -> None:
    original, refused = config(stack), 0
    for place in places(original):
        for value in INSTEAD:
            lines = findings(with_value(original, place, value))
            assert unfit(lines) == [], (place, value)
            refused += bool(lines)
    assert refused > 2000


@pytest.mark.parametrize("stack", LINES)
def test_whatever_a_key_is_replaced_by_ends_in_findings_or_is_right(stack: str) -> None:
    original, refused = config(stack), 0
    for place in places(original):
        for key in (None, *KEYS):
            lines = findings(with_key(original, place, key))
            assert unfit(lines) == [], (place, key)
            refused += bool(lines)
    assert refused > 300


def with_value(original: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    changed, parent = _copy_to(original, place)
    parent[place[-1]] = copy.deepcopy(value)
    return changed


def with_key(original: dict[str, Any], place: Place, key: str | None) -> dict[str, Any]:
    """Without the value at a place, or, in a map, with the value under another key."""
    changed, parent = _copy_to(original, place)
    value = parent[place[-1]]
    del parent[place[-1]]
    if key is not None and isinstance(parent, dict):
        parent[f"homelab:{key}" if parent is changed else key] = value
    return changed


def _copy_to(original: dict[str, Any], place: Place) -> tuple[dict[str, Any], Any]:
    changed = copy.deepcopy(original)
    parent: Any = changed
    for part in place[:-1]:
        parent = parent[part]
    return changed, parent


ODDITIES = (
    lambda line: f"\t{line}",
    lambda line: f" {line}",
    lambda line: line.replace(":", "", 1),
    lambda line: line.replace(": ", ":", 1),
    lambda line: f"{line}\n{line}",
    lambda line: f"{line} {{",
    lambda line: line.replace("{", "[", 1),
    lambda line: line.replace('"', "", 1),
    lambda line: line.replace(": ", ": !!int ", 1),
    lambda line: line.replace(": ", ": &a ", 1) + " *a",
    lambda line: line.replace(": ", ": |\n", 1),
    lambda line: f"{line}\n---",
    lambda line: f"{line}\x07",
    lambda line: line.upper(),
    lambda _: "",
)
"""What happens to a line in an editor."""


@pytest.mark.parametrize("stack", LINES)
def test_a_line_that_was_damaged_ends_in_findings_a_refusal_of_the_file_or_is_right(stack: str) -> None:
    outcomes = set()
    for number, line in enumerate(LINES[stack]):
        damaged = [*LINES[stack]]
        damaged[number] = ODDITIES[number % len(ODDITIES)](line)
        try:
            content = stack_file.parse("\n".join(damaged)).get("config")
        except stack_file.StackFileError:
            outcomes.add("file")
            continue
        if isinstance(content, dict):
            lines = findings(content)
            assert unfit(lines) == [], damaged[number]
            outcomes.add("findings" if lines else "right")
    assert outcomes == {"file", "findings", "right"}
