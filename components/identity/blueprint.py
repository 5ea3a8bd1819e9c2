"""Authentik blueprints as typed values: what Authentik should have, written as the YAML that its worker applies.

Owns the form of a blueprint and of the tags in it. Owns no resource, and knows no service: `sso.py` says what there is.
Names of models and fields are checked against Authentik's own (`checks/blueprints.py`), as Authentik itself ignores a
field that it does not know.

https://docs.goauthentik.io/customize/blueprints/v1/structure/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

State = Literal["present", "created", "must_created", "absent"]
"""`present` is created and kept as written; `created` is created once and then left alone."""


@dataclass(frozen=True)
class KeyOf:
    """`!KeyOf`: the primary key of another entry of this blueprint, by its `id`."""

    id: str


@dataclass(frozen=True)
class Find:
    """`!Find`: the primary key of an object that already exists, by a field that identifies it.

    For an object that it does not find, Authentik silently inserts nothing: use this only for what certainly exists,
    or where the field must not be empty.
    """

    model: str
    by: str
    value: str


@dataclass(frozen=True)
class Env:
    """`!Env`: a variable of the worker's environment. Not for a secret that rotates: see `docs/identity.md`."""

    variable: str


@dataclass(frozen=True)
class Context:
    """`!Context`: a key of the blueprint's own context."""

    key: str


Tag = KeyOf | Find | Env | Context
Value = str | int | bool | Tag | list["Value"] | Mapping[str, "Value"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object of Authentik.

    model: `<app>.<model>`, as `authentik_core.group`.
    identifiers: the fields by which it is found again; together they must identify it uniquely.
    attrs: its other fields. An omitted one keeps its value.
    id: by which `KeyOf` refers to it.
    """

    model: str
    identifiers: Mapping[str, Value]
    attrs: Mapping[str, Value] = field(default_factory=dict)
    id: str | None = None
    state: State = "present"

    def __post_init__(self) -> None:
        if not self.identifiers:
            raise ValueError(f"{self.model}: no identifiers; Authentik refuses an object that it could not find again")
        if both := sorted(self.identifiers.keys() & self.attrs.keys()):
            raise ValueError(f"{self.model}: {both[0]!r} is in identifiers and in attrs; leave it in identifiers")

    def document(self) -> dict[str, Any]:
        """The entry as Authentik reads it."""
        written: dict[str, Any] = {"model": self.model}
        written |= {"id": self.id} if self.id else {}
        written |= {"state": self.state} if self.state != "present" else {}
        written["identifiers"] = dict(self.identifiers)
        return written | ({"attrs": dict(self.attrs)} if self.attrs else {})


@dataclass(frozen=True, kw_only=True)
class Blueprint:
    """Objects that are created together, in this order, or, on an error, not at all.

    Authentik applies several files at the same time and retries a failed one only after an hour. So a file must
    not need what another one makes, unless that is known to exist.

    name: by which Authentik knows the blueprint; unique among all.
    """

    name: str
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        known: set[str] = set()
        for entry in self.entries:
            for tag in tags(entry.identifiers, entry.attrs):
                if isinstance(tag, KeyOf) and tag.id not in known:
                    raise ValueError(f"{self.name}: !KeyOf {tag.id} has no earlier entry of that id; put it before")
            if entry.id in known:
                raise ValueError(f"{self.name}: id {entry.id!r} appears twice, and the first would win; rename one")
            known |= {entry.id} if entry.id else set()

    def document(self) -> dict[str, Any]:
        """The blueprint as Authentik reads it, with tags as values of this module."""
        return {
            "version": 1,
            "metadata": {"name": self.name},
            "entries": [entry.document() for entry in self.entries],
        }

    def text(self) -> str:
        """The content of its file."""
        return yaml.dump(self.document(), Dumper=_Dumper, sort_keys=False, width=120)


def tags(*values: Any) -> Iterator[Tag]:
    """Every tag in these values, at any depth."""
    for value in values:
        if isinstance(value, Tag):
            yield value
        elif isinstance(value, Mapping):
            yield from tags(*value.values())
        elif isinstance(value, list | tuple):
            yield from tags(*value)


def load(text: str) -> Any:
    """A blueprint's text as `Blueprint.document` has it. Raises yaml.YAMLError for text or tags of another kind."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, with the four tags above


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    pass


def _text(value: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style='"')


def _find(_: yaml.SafeDumper, found: Find) -> yaml.SequenceNode:
    condition = yaml.SequenceNode("tag:yaml.org,2002:seq", [_text(found.by), _text(found.value)], flow_style=True)
    return yaml.SequenceNode("!Find", [_text(found.model), condition], flow_style=True)


def _found(loader: yaml.SafeLoader, node: yaml.Node) -> Find:
    parts = loader.construct_sequence(node, deep=True)  # type: ignore[arg-type]
    if len(parts) != 2 or len(parts[1]) != 2:
        raise yaml.YAMLError(f"!Find: {parts} is not [model, [field, value]]{node.start_mark}")
    return Find(parts[0], *parts[1])


def _string(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Multi-line text as a block, so that expressions are readable."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _string)
_Dumper.add_representer(Find, _find)
_Loader.add_constructor("!Find", _found)
_Dumper.add_representer(KeyOf, lambda _, tag: yaml.ScalarNode("!KeyOf", tag.id))
_Dumper.add_representer(Env, lambda _, tag: yaml.ScalarNode("!Env", tag.variable))
_Dumper.add_representer(Context, lambda _, tag: yaml.ScalarNode("!Context", tag.key))
_Loader.add_constructor("!KeyOf", lambda _, node: KeyOf(str(node.value)))
_Loader.add_constructor("!Env", lambda _, node: Env(str(node.value)))
_Loader.add_constructor("!Context", lambda _, node: Context(str(node.value)))
