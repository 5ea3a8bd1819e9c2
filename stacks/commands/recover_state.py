"""A state after a killed `up`, as `make recover` reads and mends it: what is pending, and what hinders the next `up`.

Owns no file and asks nobody: everything here is derived from an exported state and from Helm's records.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.kit.stack_mark import ANNOTATION
from stacks.commands.recover_cluster import Record
from stacks.commands.stack import CommandError

RELEASE = "kubernetes:helm.sh/v3:Release"

UNFINISHED = frozenset({"pending-install", "pending-upgrade", "pending-rollback", "uninstalling"})
"""Statuses of a Helm record whose operation was cut off: each of them makes Helm refuse the next one."""

_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
"""How a secret value is marked in a state: resource/properties.go in Pulumi's SDK for Go."""


@dataclass(frozen=True)
class Pending:
    """A Kubernetes resource of whose creation only the beginning is recorded."""

    urn: str
    provider: str
    """The URN of its provider."""
    manifest: dict[str, Any]
    """What names the object: apiVersion, kind, and metadata with name and, if the program gave one, namespace."""
    mark: str | None
    """The mark of this stack that the object was to have; None for one whose program gave it none."""

    @property
    def release(self) -> tuple[str, str] | None:
        """Namespace and name of a Helm release; None for any other object."""
        metadata = self.manifest["metadata"]
        is_release = _type(self.urn) == RELEASE
        return (str(metadata.get("namespace", "default")), str(metadata["name"])) if is_release else None


def pending(deployment: Mapping[str, Any]) -> list[Pending]:
    """The creations in a state that can be looked up in a cluster.

    Left out are patches, which may be applied again, and what has no name of its own, such as lists.
    """
    found = []
    for operation in deployment.get("pending_operations") or []:
        resource = operation["resource"]
        kind = str(resource.get("type", ""))
        if operation["type"] != "creating" or not _in_a_cluster(resource) or kind.endswith("Patch"):
            continue
        inputs = _open(resource.get("inputs")) or {}
        metadata = inputs if kind == RELEASE else _open(inputs.get("metadata")) or {}
        names = {key: value for key in ("name", "namespace") if (value := _open(metadata.get(key)))}
        if "name" in names:
            manifest = {"apiVersion": _open(inputs.get("apiVersion")), "kind": _open(inputs.get("kind"))}
            mark = _open((_open(metadata.get("annotations")) or {}).get(ANNOTATION))
            found.append(Pending(resource["urn"], _provider(resource), manifest | {"metadata": names}, mark))
    return found


def releases(deployment: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], str]]:
    """Every Helm release in a state: URNs by namespace and name, for each provider's URN."""
    found: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for resource in deployment.get("resources") or []:
        if resource["type"] == RELEASE and "/" in str(resource.get("id")) and not resource.get("delete"):
            namespace, name = resource["id"].split("/", 1)
            found[_provider(resource)][namespace, name] = resource["urn"]
    return dict(found)


def stuck(
    records: Iterable[Record], known: Collection[tuple[str, str]], new: Collection[tuple[str, str]]
) -> list[Record]:
    """The Helm records that keep the stack's releases from being installed or upgraded.

    Args:
        records: all of the cluster.
        known: namespaces and names of releases in the state: of these the newest record, if it is unfinished, or all
            of them if it is of an uninstallation, as the release is then to be installed again.
        new: those of pending creations: of these every record, unless one of them is of a finished installation.

    Helm takes over what an operation without a record has made: it carries the release's name.
    """
    by_release: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        by_release[record.namespace, record.release].append(record)
    found: set[Record] = set()
    for key in {*known, *new} & by_release.keys():
        newest = max(by_release[key], key=lambda record: record.revision)
        finished = any(record.status == "deployed" for record in by_release[key])
        if newest.status == "uninstalling" or (key in new and not finished):
            found.update(by_release[key])
        elif newest.status in UNFINISHED:
            found.add(newest)
    return sorted(found)


def mended(deployment: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """The state with no pending operation, and with the resources that `ids` (ids by URN) says are there."""
    resources = [dict(resource) for resource in deployment.get("resources") or []]
    for operation in deployment.get("pending_operations") or []:
        made = operation["resource"]
        if operation["type"] != "creating" or made["urn"] not in ids:
            continue
        made = made | {"id": ids[made["urn"]], "outputs": _outputs(made)}
        same = [index for index, old in enumerate(resources) if old["urn"] == made["urn"] and not old.get("delete")]
        if not same:
            resources.append(made)
        elif resources[same[0]].get("pendingReplacement"):
            # The old one was deleted before the new one was made.
            resources[same[0]] = made
        elif resources[same[0]].get("id") != made["id"]:
            # The engine does the same once it knows of the new one: the old one is deleted by the next `up`.
            resources[same[0]] = resources[same[0]] | {"delete": True}
            resources.append(made)
    return {**deployment, "resources": resources, "pending_operations": None}


def unread(deployment: Mapping[str, Any]) -> list[str]:
    """URNs of resources that `mended` wrote into a state and that no provider has read since."""
    return [
        resource["urn"]
        for resource in deployment.get("resources") or []
        if _in_a_cluster(resource)
        and (
            "status" not in (resource.get("outputs") or {})
            if resource["type"] == RELEASE
            else not resource.get("outputs")
        )
    ]


def changing(deployment: Mapping[str, Any]) -> list[str]:
    """URNs of resources that were being updated or deleted, in the cluster or elsewhere, and are in the state."""
    there = {resource["urn"] for resource in deployment.get("resources") or []}
    operations = deployment.get("pending_operations") or []
    interrupted = {entry["resource"]["urn"] for entry in operations if entry["type"] in ("updating", "deleting")}
    return sorted(interrupted & there)


def kubeconfig(deployment: Mapping[str, Any], provider: str) -> str:
    """The kubeconfig with which the provider of that URN works: a secret. Raises CommandError if there is none."""
    for resource in deployment.get("resources") or []:
        if resource["urn"] == provider and (given := _open((resource.get("inputs") or {}).get("kubeconfig"))):
            return str(given)
    raise CommandError(f"the state has no kubeconfig for {short(provider)}; nothing was changed")


def short(urn: str) -> str:
    """Type and name of a resource, for people."""
    return f"{_type(urn)} {urn.split('::', 3)[3]}"


def _outputs(made: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs from which the provider reads a resource. Without its inputs in them, it would take a release's from the
    cluster, where nothing says which values are secret."""
    if made["type"] != RELEASE:
        return {}
    inputs = made.get("inputs") or {}
    return {**inputs, "__inputs": {**_SECRET, "plaintext": json.dumps(inputs)}}


def _open(value: Any) -> Any:
    """A value of a state without the mark of a secret."""
    if isinstance(value, dict) and _SECRET.items() <= value.items():
        return json.loads(value["plaintext"]) if "plaintext" in value else None
    return value


def _in_a_cluster(resource: Mapping[str, Any]) -> bool:
    return bool(resource.get("custom")) and str(resource["type"]).startswith("kubernetes:")


def _provider(resource: Mapping[str, Any]) -> str:
    """The URN in a reference to a provider, which is `<URN>::<id>`."""
    return str(resource.get("provider", "")).rpartition("::")[0]


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]
