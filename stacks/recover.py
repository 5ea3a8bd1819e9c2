"""`make recover`: makes a stack usable again whose `pulumi up` was killed while it created or changed things.

Owns the way back only: the state is told of what the killed `up` made in the cluster, and Helm's records of operations
that nobody will finish go. It makes and deletes no object of the platform; the next `pulumi up` does what is missing.

Pulumi records a creation as pending before it begins, and the result when it ends. What was made between the two is in
the cluster and not in the state: `up` fails with "already exists", or for a Helm release with "cannot re-use a name
that is still in use". `pulumi refresh` does not help: with --import-pending-creates (3.259) the operation is forgotten
like any other. So each pending Kubernetes object is looked up in the cluster and, if Pulumi made it, written into the
state under its id; the targeted refresh after that lets the provider read it. What is pending elsewhere is forgotten:
the program finds VMs by their marker, and what else it does outside the cluster may be done again.

Before: the state's passphrase or login as for `up`, kubectl and pulumi on PATH, and no other Pulumi at work on the
stack. A cluster that does not answer ends the recovery before anything was changed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stacks.recover_cluster import Cluster, Record, RecoverError, execute

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
            found.append(Pending(resource["urn"], _provider(resource), manifest | {"metadata": names}))
    return found


def releases(deployment: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], str]]:
    """Every Helm release in a state: URNs by namespace and name, for each provider's URN."""
    found: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for resource in deployment.get("resources") or []:
        if resource["type"] == RELEASE and "/" in str(resource.get("id")) and not resource.get("delete"):
            namespace, name = resource["id"].split("/", 1)
            found[_provider(resource)][namespace, name] = resource["urn"]
    return dict(found)


def stuck(records: Iterable[Record], known: Iterable[tuple[str, str]], new: Iterable[tuple[str, str]]) -> list[Record]:
    """The Helm records that keep the stack's releases from being installed or upgraded.

    Args:
        records: all of the cluster.
        known: namespaces and names of releases in the state: of these the newest record, if it is unfinished.
        new: those of pending creations: of these every record, unless one of them is of a finished installation.
            Helm takes over what it had made: it carries the release's name.
    """
    by_release: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        by_release[record.namespace, record.release].append(record)
    newest = {key: max(of_it, key=lambda record: record.revision) for key, of_it in by_release.items()}
    ours = [newest[key] for key in {*known, *new} if key in newest and newest[key].status in UNFINISHED]
    failed = [
        record
        for key in new
        for record in by_release.get(key, [])
        if not any(other.status == "deployed" for other in by_release[key])
    ]
    return sorted({*ours, *failed})


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


def recover(stack: str, environment: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Do it, and tell of each step in a line.

    Args:
        stack: its name.
        environment: that of `pulumi` and `kubectl`.

    Raises:
        RecoverError: the recovery stopped; what is pending is still recorded, or a second one goes on.
    """
    pulumi = ("pulumi", "--non-interactive", "--stack", stack)
    # With its secrets, as two of them are needed: the kubeconfig, and a release's inputs as the provider keeps them.
    # They stay in this process and in the pipe to `stack import`, which encrypts them again.
    exported = json.loads(execute([*pulumi, "stack", "export", "--show-secrets"], environment))
    deployment: dict[str, Any] = exported.get("deployment") or {}
    searched, known = pending(deployment), releases(deployment)
    ids: dict[str, str] = {}
    hindering: list[tuple[str, Record]] = []
    for provider in sorted({entry.provider for entry in searched} | known.keys()):
        with Cluster.of(_kubeconfig(deployment, provider), environment) as cluster:
            mine = [entry for entry in searched if entry.provider == provider]
            new = [entry.release for entry in mine if entry.release]
            records = cluster.records() if new or known.get(provider) else []
            found = stuck(records, known.get(provider, {}), new)
            hindering += [(provider, record) for record in found]
            kept = {(record.namespace, record.release) for record in records if record not in found}
            for entry in mine:
                if entry.release is None:
                    if (id_ := cluster.find(entry.manifest)) is not None:
                        ids[entry.urn] = id_
                elif entry.release in kept:
                    ids[entry.urn] = "/".join(entry.release)
    targets = {*unread(deployment), *changing(deployment), *ids}
    targets |= {
        known[provider][record.namespace, record.release]
        for provider, record in hindering
        if (record.namespace, record.release) in known.get(provider, {})
    }
    operations = deployment.get("pending_operations") or []
    if not targets and not hindering and not operations:
        yield "nothing was cut off in this stack"
        return
    # Also where only records are to go: the import fails while another Pulumi works on the stack.
    execute(
        [*pulumi, "stack", "import"],
        environment,
        given=json.dumps(exported | {"deployment": mended(deployment, ids)}),
    )
    for operation in operations:
        urn = operation["resource"]["urn"]
        yield f"{_short(urn)}: {_outcome(operation['type'], ids.get(urn))}"
    for provider, record in hindering:
        with Cluster.of(_kubeconfig(deployment, provider), environment) as cluster:
            cluster.remove(record)
        yield f"Helm release {record.namespace}/{record.release}: its record, {record.status}, is removed"
    if targets:
        chosen = [argument for urn in sorted(targets) for argument in ("--target", urn)]
        execute([*pulumi, "refresh", "--yes", "--skip-preview", *chosen], environment)
        yield f"{len(targets)} resources were read anew"
    yield "now run `pulumi up`"


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.recover --stack STACK`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.recover", description=__doc__)
    parser.add_argument("--stack", required=True)
    chosen = parser.parse_args(arguments)
    try:
        for line in recover(chosen.stack):
            print(line, flush=True)
    except RecoverError as error:
        print(f"recover: {error}", file=sys.stderr)
        return 1
    return 0


def _outcome(operation: str, id_: str | None) -> str:
    if operation != "creating":
        return f"was cut off while {operation}"
    return "is not recorded as made: `up` makes it, or finds it" if id_ is None else f"was made: {id_}"


def _outputs(made: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs from which the provider reads a resource. Without its inputs in them, it would take a release's from the
    cluster, where nothing says which values are secret."""
    if made["type"] != RELEASE:
        return {}
    inputs = made.get("inputs") or {}
    return {**inputs, "__inputs": {**_SECRET, "plaintext": json.dumps(inputs)}}


def _kubeconfig(deployment: Mapping[str, Any], provider: str) -> str:
    for resource in deployment.get("resources") or []:
        if resource["urn"] == provider and (given := _open((resource.get("inputs") or {}).get("kubeconfig"))):
            return str(given)
    raise RecoverError(f"the state has no kubeconfig for {_short(provider)}; nothing was changed")


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


def _short(urn: str) -> str:
    return f"{_type(urn)} {urn.split('::', 3)[3]}"


if __name__ == "__main__":
    sys.exit(main())
