"""Writes the input properties of the Python SDK's classes as JSON, for the test that compares them with the plugin.

Run it with the project's interpreter when `pulumi-proxmoxve` is upgraded or a resource is added:

    python testdata/sdk_properties.py > testdata/sdk_properties.json

A path is the property's name on the wire (`disks[].interface`; `[]` steps into a list), its value the type
(`string`, `integer`, `boolean`, `number`, `object`, or `array`/`map` with the type of the elements).
It does not list outputs that no program can set.
"""

import collections.abc
import json
import sys
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import pulumi_proxmoxve as sdk
import pulumi_proxmoxve.download
import pulumi_proxmoxve.user
from pulumi._types import input_type_types, is_input_type

RESOURCES: tuple[Any, ...] = (
    sdk.VmLegacy,
    sdk.PoolLegacy,
    sdk.RoleLegacy,
    sdk.UserLegacy,
    sdk.Acl,
    sdk.download.File,
    sdk.user.Token,
    sdk.Provider,
)
SCALARS = {str: "string", int: "integer", bool: "boolean", float: "number"}


def unwrap(hint: Any) -> Any:
    """The first member of a union: what a program gives, before its awaitable, output and dictionary twins."""
    while get_origin(hint) is Union:
        hint = get_args(hint)[0]
    return hint


def describe(hint: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yields (path, type) for a property and everything below it."""
    hint = unwrap(hint)
    origin = get_origin(hint)
    if origin is collections.abc.Sequence:
        below = list(describe(get_args(hint)[0], f"{path}[]"))
        yield path, f"array of {below[0][1]}"
        yield from below[1:]
    elif origin is collections.abc.Mapping:
        below = list(describe(get_args(hint)[1], f"{path}{{}}"))
        yield path, f"map of {below[0][1]}"
        yield from below[1:]
    elif is_input_type(hint):
        yield path, "object"
        yield from properties(hint, f"{path}.")
    else:
        yield path, SCALARS[hint]


def properties(cls: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields (path, type) for every property of an argument class."""
    for wire_name, hint in input_type_types(cls).items():
        yield from describe(hint, prefix + wire_name)


def main() -> None:
    found: dict[str, dict[str, str]] = {}
    for resource in RESOURCES:
        module = sys.modules[resource.__module__]
        found[resource.pulumi_type] = dict(sorted(properties(vars(module)[f"{resource.__name__}Args"])))
    json.dump(found, sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
