"""Property values as Pulumi sends them, and as Python values that a test can compare.

Owns the encoding only: secrets, unknowns and resource references are marked in the wire format by signatures that are
the same in every SDK and engine. Assets and archives stay dictionaries with their signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
_REFERENCE_SIGNATURE = "5cf8f73096256a8f31e491e813e4eb8e"
_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown:
    """The type of `UNKNOWN`: a value that the engine learns only when it applies the program."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that Pulumi encrypts in state. Compare whole secrets: a failing comparison prints the representation."""

    value: Any

    def __repr__(self) -> str:
        # Reports and failing tests end in logs, so the value is never printed.
        return "Secret(UNKNOWN)" if self.value is UNKNOWN else "Secret(...)"


@dataclass(frozen=True)
class Ref:
    """A reference to a resource that was passed as a value."""

    urn: str


def decode(value: struct_pb2.Value) -> Any:
    """Return the Python value: numbers are floats, secrets `Secret`, unknowns `UNKNOWN`, resources `Ref`."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = decode_struct(value.struct_value)
        signature = fields.get(_SIGNATURE)
        if signature == _SECRET_SIGNATURE:
            return Secret(fields["value"])
        if signature == _REFERENCE_SIGNATURE:
            return Ref(fields["urn"])
        return fields
    if kind == "list_value":
        return [decode(item) for item in value.list_value.values]
    if kind == "string_value":
        return UNKNOWN if value.string_value == _UNKNOWN_STRING else value.string_value
    if kind is None or kind == "null_value":
        return None
    return value.number_value if kind == "number_value" else value.bool_value


def decode_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return the fields of a wire structure as Python values, see `decode`."""
    return {key: decode(value) for key, value in struct.fields.items()}


def encode(value: Any) -> Any:
    """Return JSON-like data that carries secrets, unknowns and references by their signatures."""
    if isinstance(value, Secret):
        return {_SIGNATURE: _SECRET_SIGNATURE, "value": encode(value.value)}
    if isinstance(value, Ref):
        return {_SIGNATURE: _REFERENCE_SIGNATURE, "urn": value.urn}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return _UNKNOWN_STRING if value is UNKNOWN else value


def encode_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return `values` as a wire structure, see `encode`."""
    struct = struct_pb2.Struct()
    struct.update(encode(values))
    return struct


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, Secret):
        yield value.value
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, (list, tuple)):
        yield from value


def _holds(value: Any, condition: Callable[[Any], bool]) -> bool:
    return condition(value) or any(_holds(member, condition) for member in _members(value))


def is_unknown(value: Any) -> bool:
    """Say whether anything inside `value`, secrets included, is unknown."""
    return _holds(value, lambda v: v is UNKNOWN)


def is_secret(value: Any) -> bool:
    """Say whether `value` is a secret or holds one."""
    return _holds(value, lambda v: isinstance(v, Secret))


def plain_strings(value: Any) -> Iterator[str]:
    """Yield each string, keys included, that lies outside every secret: what state and logs show in clear."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from plain_strings(item)
    elif not isinstance(value, Secret):
        for member in _members(value):
            yield from plain_strings(member)


def reveal(value: Any) -> Any:
    """Return `value` with each secret replaced by what it hides, for checks that compute on it. Never print it."""
    if isinstance(value, Secret):
        return reveal(value.value)
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [reveal(item) for item in value]
    return value
