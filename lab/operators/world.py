"""The objects of a cluster, as rules see them, and what a rule answers. Owns no connection: `cluster.py` has that."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]

PLAYED_BY = "homelab.lab/played-by"
"""Labels what the lab made in an operator's place; also in lab/talos/internal/kubernetes/volumes.go."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where the API has its collection."""

    name: str
    api_version: str
    plural: str
    namespaced: bool = True
    status_subresource: bool = True

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Of all objects, of those of a namespace, or of one."""
        base = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{base}{inside}/{self.plural}" + (f"/{name}" if name else "")


class World:
    """What a cluster has at one moment, by kind, namespace and name.

    real: repositories of the images whose pods run, and are not played.
    """

    def __init__(self, objects: Iterable[Object] = (), real: Collection[str] = ()) -> None:
        self._kinds: dict[str, dict[tuple[str, str], Object]] = {}
        self._ages: dict[tuple[str, str, str], int] = {}
        self._newest = 0
        self._real = frozenset(real)
        for item in objects:
            self.put(item)

    def put(self, item: Object) -> None:
        """Take an object as it is from now on."""
        kind = self._kinds.setdefault(item["kind"], {})
        self._note(kind.get(key(item)), item)
        kind[key(item)] = item

    def drop(self, item: Object) -> None:
        """Forget an object."""
        self._kinds.get(item["kind"], {}).pop(key(item), None)

    def replace(self, kind: str, items: Iterable[Object]) -> None:
        """Take all objects of a kind, and forget those that are not among them."""
        known = self._kinds.get(kind)
        self._kinds[kind] = {key(item): item for item in items}
        for place, item in self._kinds[kind].items():
            if known is None:
                self._ages[kind, *place] = 0
            else:
                self._note(known.get(place), item)

    def _note(self, before: Object | None, item: Object) -> None:
        """Remember in which order objects came, and their data changed."""
        same = before is not None and before["metadata"].get("uid") == item["metadata"].get("uid")
        if not same or _data(before) != _data(item):
            self._newest += 1
            self._ages[item["kind"], *key(item)] = self._newest

    def younger(self, item: Object, other: Object) -> bool:
        """Whether an object came, or its data changed, after the other one. All that is listed first is of one age."""
        return self._ages[item["kind"], *key(item)] > self._ages[other["kind"], *key(other)]

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind that is not being deleted, oldest first."""
        found = [item for item in self._kinds.get(kind, {}).values() if not deleted(item)]
        return sorted(found, key=lambda item: (item["metadata"].get("creationTimestamp") or "", key(item)))

    def find(self, kind: str, name: str | None, namespace: str = "") -> Object | None:
        """One object that is not being deleted."""
        found = self._kinds.get(kind, {}).get((namespace, name or ""))
        return None if found is None or deleted(found) else found

    def operator(self, deployment: str) -> Object | None:
        """The Deployment of an operator, once a replica of it is available: without one nothing is reconciled.

        None where its pods run as well: they do their own work.
        """
        found = self.available(deployment)
        return None if found is None or self._runs(found) else found

    def available(self, deployment: str) -> Object | None:
        """A Deployment of which a replica is available, whether its pods run or are played."""
        for (_, name), item in self._kinds.get("Deployment", {}).items():
            if name == deployment and item.get("status", {}).get("availableReplicas"):
                return item
        return None

    def _runs(self, deployment: Object) -> bool:
        pod = deployment.get("spec", {}).get("template", {}).get("spec", {})
        images = [each["image"] for each in (*pod.get("containers", ()), *(pod.get("initContainers") or ()))]
        return bool(images) and all(repository(image) in self._real for image in images)


@dataclass(frozen=True)
class Outcome:
    """What a controller does about an object.

    status: the fields of its status that it writes. makes: objects that it makes, whole, with their status.
    annotations: those that it puts on the object; None takes one away. spec: the fields of its spec that it changes.
    """

    status: Mapping[str, Any] = field(default_factory=dict)
    makes: Sequence[Object] = ()
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """How objects of a kind are played.

    operator: name of the Deployment without which nobody looks at them; None where there is none to wait for.
    """

    kind: Kind
    operator: str | None
    play: Callable[[Object, World], Outcome | None]


def outcomes(rules: Iterable[Rule], world: World) -> Iterator[tuple[Rule, Object, Outcome]]:
    """What is to be done about every object."""
    for rule in rules:
        if rule.operator is not None and world.operator(rule.operator) is None:
            continue
        for item in world.all(rule.kind.name):
            outcome = rule.play(item, world)
            if outcome is not None:
                yield rule, item, outcome


def repository(image: str) -> str:
    """The image that a container names, without tag and digest."""
    name = image.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def key(item: Object) -> tuple[str, str]:
    """Namespace and name."""
    return item["metadata"].get("namespace") or "", item["metadata"]["name"]


def _data(item: Object | None) -> Any:
    return (item or {}).get("data") or {}


def deleted(item: Object) -> bool:
    """Whether an object is only waiting for its finalizers."""
    return "deletionTimestamp" in item["metadata"]


def condition(
    item: Object, kind: str, holds: bool, reason: str, message: str, *, generation: bool = False
) -> dict[str, Any]:
    """A condition of a status. generation: whether this controller says which generation it saw."""
    observed = {"observedGeneration": item["metadata"].get("generation", 1)} if generation else {}
    status = "True" if holds else "False"
    return {"type": kind, "status": status, "reason": reason, "message": message} | observed


def holds(item: Object | None, kind: str) -> bool:
    """Whether an object has a condition of that type that is True, of its present generation where one is noted."""
    # The API server says `null` of a list that nobody has written yet.
    for each in ((item or {}).get("status") or {}).get("conditions") or []:
        if each["type"] == kind and each["status"] == "True":
            seen = each.get("observedGeneration")
            return seen is None or item is None or seen >= item["metadata"].get("generation", 1)
    return False


def secret(
    name: str,
    namespace: str,
    data: Mapping[str, str],
    *,
    kind: str = "Opaque",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Object | None = None,
) -> dict[str, Any]:
    """A Secret that an operator makes; `owner`: the object with which it goes."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {**(labels or {}), PLAYED_BY: "lab"}}
    metadata["annotations"] = dict(annotations or {})
    if owner is not None:
        metadata["ownerReferences"] = [owned_by(owner)]
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": encoded}


def event(item: Object, controller: str, reason: str, message: str) -> dict[str, Any]:
    """A warning about an object; the same one has the same name."""
    namespace, name = key(item)
    about = {"apiVersion": item["apiVersion"], "kind": item["kind"], "name": name, "namespace": namespace}
    made = {"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message}
    return made | {
        "metadata": {"name": f"{name}.{digest(reason + message)}", "namespace": namespace},
        "involvedObject": about | {"uid": item["metadata"].get("uid", "")},
        "source": {"component": controller},
    }


def digest(text: str) -> str:
    """Eight hexadecimal digits that tell a text from others."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def owned_by(owner: Object) -> dict[str, Any]:
    """The owner reference with which garbage collection takes an object along."""
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
    return reference | {"uid": owner["metadata"].get("uid", "")}


def value(item: Object | None, name: str) -> str | None:
    """One key of a Secret, decoded; None where there is no Secret, or no such key."""
    for field_name, decode in (("data", True), ("stringData", False)):
        found = ((item or {}).get(field_name) or {}).get(name)
        if found is not None:
            return base64.b64decode(found).decode(errors="replace") if decode else str(found)
    return None
