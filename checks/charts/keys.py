"""Whether a chart knows each key that a release gives it.

A key is known if the chart's defaults, its schema or one of its templates names it. Below a value that the templates
print as it is (a pod's resources, annotations), or that is empty by default and that nothing describes, anything is
allowed: such a place is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from checks.charts.chart import Chart
from checks.charts.schema import Schema
from checks.charts.uses import ANY, Keys, Use
from components.kit.spelling import did_you_mean


@dataclass
class Keyring:
    """What a check of one release's values found."""

    known: set[str] = field(default_factory=set)
    """Paths that the chart knows. One that ends in `.*` is open: it may hold anything."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Paths that it does not know, with what may have been meant."""


def look_up(chart: Chart, values: dict[str, Any]) -> Keyring:
    """Look up each key of a release's values in its chart."""
    found = Keyring()
    _walk(_Place(chart, (), [chart.defaults], [], [chart.uses]), values, found)
    return found


def paths(values: Any, keys: Keys = ()) -> Iterator[str]:
    """Each path of some values that ends in a value: a list's elements share one, and an empty map is a value."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from paths(value, (*keys, str(key)))
    elif isinstance(values, list) and any(isinstance(element, dict) and element for element in values):
        for element in values:
            yield from paths(element, (*keys, ANY))
    else:
        yield show(keys)


def covers(known: Set[str], path: str) -> bool:
    """Whether a path is among known ones, or below an open one."""
    places = [one[:-2] for one in known if one.endswith(".*")]
    return path in known or any(path.startswith(f"{one}.") or path == one.removesuffix(ANY) for one in places)


def show(keys: Keys) -> str:
    """Keys as one path: a key with a dot in quotes, a list's elements as `[]`."""
    return ".".join(f'"{key}"' if "." in key else key for key in keys).replace(f".{ANY}", ANY)


@dataclass
class _Place:
    """One place in a chart's values, and all that the chart says of it."""

    chart: Chart
    keys: Keys
    defaults: list[Any]
    schemas: list[Schema]
    uses: list[Use]

    def __post_init__(self) -> None:
        if self.keys in self.chart.schemas:
            self.schemas = [*self.schemas, self.chart.schemas[self.keys]]

    def below(self, key: str) -> _Place | None:
        """The place of a key, or None where the chart does not know it."""
        defaults = [default[key] for default in self.defaults if isinstance(default, dict) and key in default]
        schemas = [named for schema in self.schemas for named in schema.below(key)]
        if not schemas:
            schemas = [each for schema in self.schemas if schema.free for each in schema.elements()]
        uses = [use for one in self.uses for use in one.below(key)]
        place = _Place(self.chart, (*self.keys, key), defaults, schemas, uses)
        return place if defaults or uses or place.schemas else None

    def elements(self) -> _Place:
        """The place of a list's elements."""
        schemas = [each for schema in self.schemas for each in schema.elements()]
        uses = [use for one in self.uses for use in one.below(ANY)]
        return _Place(self.chart, (*self.keys, ANY), [], schemas, uses)

    @property
    def open(self) -> bool:
        """Whether anything is allowed below."""
        if any(use.printed for use in self.uses) or any(schema.free for schema in self.schemas):
            return True
        return not self.named and not self.elements().named

    @property
    def filled(self) -> bool:
        """Whether the chart's default is a map with something in it."""
        return any(isinstance(default, dict) and default for default in self.defaults)

    @property
    def scalar(self) -> bool | float | None:
        """The number or truth value that the chart has here, if nothing says that it may be a map or a list too."""
        found = [default for default in self.defaults if isinstance(default, (bool, int, float))]
        return found[0] if found and not self.schemas and not any(use.children for use in self.uses) else None

    @property
    def named(self) -> set[str]:
        """The keys that the chart names here."""
        defaults = {str(key) for default in self.defaults if isinstance(default, dict) for key in default}
        schemas = {key for schema in self.schemas for key in schema.properties}
        return defaults | schemas | {key for use in self.uses for key in use.children if key != ANY and key[0] != "\0"}


def _walk(place: _Place, values: dict[str, Any], found: Keyring) -> None:
    for key, value in values.items():
        below = place.below(str(key))
        if below is None:
            found.unknown[show((*place.keys, str(key)))] = _suggestion(place, str(key))
        else:
            _enter(below, value, found)


def _enter(place: _Place, value: Any, found: Keyring) -> None:
    """Look at what a known key is given: each map in it has keys of its own."""
    path = show(place.keys)
    maps = [value] if isinstance(value, dict) and value else []
    inside, mark = place, ".*"
    if isinstance(value, list):
        maps = [element for element in value if isinstance(element, dict) and element]
        inside, mark = place.elements(), f"{ANY}.*"
    if value is not None and not maps and not isinstance(value, dict) and place.filled and not place.schemas:
        found.unknown[path] = f"the chart has keys there: {_listed(place)}"
    elif not maps:
        found.known.add(path)
    elif place.scalar is not None:
        found.unknown[path] = f"the chart has {place.scalar!r} there, and no keys below it"
    elif place.open or inside.open:
        found.known.add(f"{path}{mark}")
    else:
        for each in maps:
            _walk(inside, each, found)


def _suggestion(place: _Place, key: str) -> str:
    """What may have been meant: the nearest name here, or the places where the chart has this very key."""
    if meant := did_you_mean(key, sorted(place.named), show=lambda near: show((*place.keys, near))):
        return meant
    elsewhere = sorted(path for path in _places(place.chart.defaults, ()) if path[-1] == key)
    if elsewhere:
        return f"the chart has it as {' or '.join(show(path) for path in elsewhere[:3])}"
    return f"the chart has {_listed(place)} there"


def _listed(place: _Place) -> str:
    named = sorted(place.named)
    return ", ".join([*named[:12], *(["..."] if len(named) > 12 else [])])


def _places(defaults: Any, keys: Keys) -> Iterator[Keys]:
    for key, value in defaults.items() if isinstance(defaults, dict) else []:
        yield (*keys, str(key))
        yield from _places(value, (*keys, str(key)))
