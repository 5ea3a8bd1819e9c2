"""`make certificates`: says which certificates of the cluster are not issued yet, and why.

Owns nothing; asks the cluster, through kubectl, and changes nothing. `pulumi up` waits for the certificates of the
cluster's own authority alone: those of Let's Encrypt need the delegation and the public name server, which are not up
to the cluster. Ends with status 1 while one is missing.

cert-manager says why in the condition Ready of a Certificate and, for a challenge under way, in the Challenge's reason.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stacks.commands.stack import CommandError, Stack, kubectl, run, take_stack

CERTIFICATES = "certificates.cert-manager.io"
CHALLENGES = "challenges.acme.cert-manager.io"

_TIMEOUT = "--request-timeout=20s"


def pending(certificates: Iterable[Mapping[str, Any]], challenges: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each certificate that is not Ready, followed by what the challenges for its names wait for."""
    reasons: dict[str, list[str]] = {}
    for challenge in challenges:
        reason = (challenge.get("status") or {}).get("reason")
        if reason:
            reasons.setdefault(challenge["spec"]["dnsName"], []).append(reason)
    lines = []
    for certificate in certificates:
        conditions = (certificate.get("status") or {}).get("conditions") or []
        ready: Mapping[str, Any] = next((one for one in conditions if one["type"] == "Ready"), {})
        if ready.get("status") == "True":
            continue
        metadata, names = certificate["metadata"], certificate["spec"].get("dnsNames") or []
        why = ready.get("message") or "cert-manager has not looked at it yet"
        lines.append(f"{metadata['namespace']}/{metadata['name']} for {', '.join(names)}: {why}")
        # A wildcard's challenge is for the name without the asterisk.
        asked = dict.fromkeys(name.removeprefix("*.") for name in names)
        lines += [f"  {name}: {reason}" for name in asked for reason in reasons.get(name, [])]
    return lines


def missing(stack: Stack) -> None:
    """Print whether every certificate is issued.

    Raises CommandError with what is missing, or if the cluster does not answer.
    """
    with stack.kubeconfig() as kubeconfig:
        certificates, challenges = (_objects(stack, kubeconfig, kind) for kind in (CERTIFICATES, CHALLENGES))
    if lines := pending(certificates, challenges):
        raise CommandError(
            "\n".join(
                ["not issued yet:", *lines, f"`make delegation STACK={stack.name}` says what the parent zone needs"]
            )
        )
    print(f"all {len(certificates)} certificates are issued")


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.certificates --stack STACK`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.certificates", description=__doc__)
    take_stack(parser)
    chosen = parser.parse_args(arguments)
    return run("certificates", lambda: missing(Stack.chosen(chosen)))


def _objects(stack: Stack, kubeconfig: Path, kind: str) -> list[dict[str, Any]]:
    asked = ("get", kind, "--all-namespaces", "--output=json", _TIMEOUT)
    items: list[dict[str, Any]] = json.loads(kubectl(kubeconfig, stack.environment, *asked).stdout)["items"]
    return items


if __name__ == "__main__":
    sys.exit(main())
