"""`make recover`: makes a stack usable again after a `pulumi up` that was killed while it created or changed things.

Owns the way back only: the state is told of what the killed `up` made in the cluster, and Helm's records of operations
that nobody will finish go. It makes and deletes no object of the platform; the next `pulumi up` does what is missing.

Pulumi records a creation as pending before it begins, and the result when it ends. What was made between the two is in
the cluster and not in the state: `up` fails with "already exists", or for a Helm release with "cannot re-use a name
that is still in use". `pulumi refresh` does not help: with --import-pending-creates (3.259) the operation is forgotten
like any other. So each pending Kubernetes object is looked up in the cluster and, if this stack made it, written into
the state under its id; the targeted refresh after that lets the provider read it. What is pending elsewhere is
forgotten: the program finds VMs by their marker, and what else it does outside the cluster may be done again.

Before: the state's passphrase or login as for `up`, kubectl and pulumi on PATH, and no other Pulumi at work on the
stack. A cluster that does not answer ends the recovery before anything was changed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.commands.recover_cluster import Cluster, Record
from stacks.commands.recover_plugins import end_orphans
from stacks.commands.recover_state import changing, kubeconfig, mended, pending, releases, short, stuck, unread
from stacks.commands.stack import CommandError, Stack, run, take_stack


@dataclass
class Findings:
    """What the clusters say of a state's pending operations and Helm releases."""

    ids: dict[str, str] = field(default_factory=dict)
    """What was made, though its creation is pending: ids by URN."""
    hindering: list[tuple[str, Record]] = field(default_factory=list)
    """Helm's records that have to go, each with the URN of its cluster's provider."""
    installed: set[str] = field(default_factory=set)
    """URNs of the releases in the state of which Helm has a record that stays."""


def examine(deployment: Mapping[str, Any], environment: Mapping[str, str]) -> Findings:
    """Ask every cluster of the state, and change nothing. Raises CommandError if one does not answer."""
    findings = Findings()
    searched, known = pending(deployment), releases(deployment)
    for provider in sorted({entry.provider for entry in searched} | known.keys()):
        of_state = known.get(provider, {})
        mine = [entry for entry in searched if entry.provider == provider]
        new = {entry.release for entry in mine if entry.release}
        with Cluster.of(kubeconfig(deployment, provider), environment) as cluster:
            records = cluster.records() if new or of_state else []
            hindering = stuck(records, of_state.keys(), new)
            staying = {(record.namespace, record.release) for record in records if record not in hindering}
            for entry in mine:
                if entry.release is None:
                    if (id_ := cluster.find(entry.manifest, entry.mark)) is not None:
                        findings.ids[entry.urn] = id_
                elif entry.release in staying:
                    findings.ids[entry.urn] = "/".join(entry.release)
        findings.hindering += [(provider, record) for record in hindering]
        findings.installed |= {urn for key, urn in of_state.items() if key in staying}
    return findings


def to_read(deployment: Mapping[str, Any], findings: Findings) -> list[str]:
    """URNs of what the providers are to read anew.

    A release that Helm has a record of is left out: the engine would forget that its last operation failed.
    """
    known = releases(deployment)
    hindered = {
        known[provider][record.namespace, record.release]
        for provider, record in findings.hindering
        if (record.namespace, record.release) in known.get(provider, {})
    }
    return sorted({*unread(deployment), *findings.ids} | ({*changing(deployment)} | hindered) - findings.installed)


def recover(stack: Stack) -> list[str]:
    """Make a stack usable again.

    Returns:
        What was done, one line each; none if nothing was cut off.

    Raises:
        CommandError: the recovery stopped; what is pending is still recorded, or a second one goes on.
    """
    ended = end_orphans()
    # With its secrets, as two of them are needed: the kubeconfig, and a release's inputs as the provider keeps them.
    # They stay in this process and in the pipe to `stack import`, which encrypts them again.
    export = ("stack", "export", "--show-secrets")
    exported = json.loads(stack.pulumi(*export))
    deployment: dict[str, Any] = exported.get("deployment") or {}
    operations = deployment.get("pending_operations") or []
    findings = examine(deployment, stack.environment)
    targets = to_read(deployment, findings)
    done = [f"{ended} plugins of a killed Pulumi were still working: ended"] if ended else []
    if not (operations or findings.hindering or targets):
        return done
    # The import fails while another Pulumi is working on the stack, but not if that ended a moment ago.
    if json.loads(stack.pulumi(*export)) != exported:
        raise CommandError("another Pulumi is working on the stack; wait for it, or end it, and recover again")
    # Even where only records are to go, as it respects the lock.
    edited = exported | {"deployment": mended(deployment, findings.ids)}
    stack.pulumi("stack", "import", given=json.dumps(edited), progress=True)
    done += [_outcome(operation, findings.ids) for operation in operations]
    for provider, record in findings.hindering:
        with Cluster.of(kubeconfig(deployment, provider), stack.environment) as cluster:
            cluster.remove(record)
        done.append(f"Helm release {record.namespace}/{record.release}: its record, {record.status}, is removed")
    if targets:
        chosen = [argument for urn in targets for argument in ("--target", urn)]
        try:
            stack.pulumi("refresh", "--yes", "--skip-preview", *chosen, progress=True)
        except CommandError as error:
            raise CommandError(f"{error}; what was made is in the state, but unread: `pulumi up --refresh`") from None
        done.append(f"{len(targets)} resources were read anew")
    return done


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.recover --stack STACK`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.recover", description=__doc__)
    take_stack(parser)
    chosen = parser.parse_args(arguments)
    return run("recover", lambda: _recover_and_tell(Stack.chosen(chosen)))


def _recover_and_tell(stack: Stack) -> None:
    done = recover(stack)
    print(*done, "now run `pulumi up`" if done else "nothing was cut off in this stack", sep="\n")


def _outcome(operation: Mapping[str, Any], ids: Mapping[str, str]) -> str:
    urn, kind = operation["resource"]["urn"], operation["type"]
    if kind != "creating":
        return f"{short(urn)}: was cut off while {kind}"
    return f"{short(urn)}: " + (f"was made, {ids[urn]}" if urn in ids else "`up` makes it, or takes it back")


if __name__ == "__main__":
    sys.exit(main())
