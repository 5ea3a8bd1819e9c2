"""What holds up what without anybody saying so: an object that cannot get ready before another is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from checks.model.objects import Object
from checks.model.order import Order
from checks.model.reference import Need

if TYPE_CHECKING:
    from checks.model.flux import Tree


class Waiting(NamedTuple):
    """A reference that holds up the referrer."""

    thing: Object
    need: Need
    producer: Object
    event: str
    """Cannot come before the producer is made."""


def waiting(
    needs: Iterable[tuple[Object, Need]],
    find: Callable[[str, str, str, str], list[Object]],
    tree: Tree | None,
) -> Iterator[Waiting]:
    """The references that hold up the referrer. find: the declarations of an object, as `Platform.find`."""
    for thing, need in needs:
        if not need.waits or need.group.endswith("toolkit.fluxcd.io") or thing.manager.system == "operator":
            continue
        made = find(need.group, need.kind, need.namespace, need.name)
        event = _ready(thing, tree)
        together = any(one.step == "" or (one.release and one.release is thing.release) for one in made)
        if not made or not event or together:
            continue
        yield Waiting(thing, need, made[0], event)


def _ready(thing: Object, tree: Tree | None) -> str:
    """The event at which an object is ready, as far as anything waits for that."""
    if thing.release is not None or thing.manager.system == "pulumi":
        return thing.step
    holder = tree.of(thing) if tree is not None else None
    return holder.ready if holder is not None and holder.waits_for(thing) else ""


def complete(declared: Order, undeclared: Iterable[Waiting]) -> Order:
    """The order with the edges that nobody declared."""
    whole = Order(list(declared.edges), declared.labels)
    for thing, need, producer, event in undeclared:
        if event in declared.labels and producer.step in declared.labels:
            whole.add(event, producer.step, f"{thing} needs {need}", declared=False)
    return whole
