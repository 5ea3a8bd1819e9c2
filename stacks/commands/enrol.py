"""`make enrol`: prints the link by which a person signs on for the first time, or again after a lost password.

Owns nothing: the person is an entry of `homelab:identity.users`, and Authentik makes the link. Whoever has it is that
person until it ends, so it goes to them alone, and to no file or log. Behind it they set a password in their settings.

Authentik's command is `ak create_recovery_key <minutes> <username>`, which prints the path of the link and tells of an
unknown user on standard error with exit status 0: authentik/recovery/management/commands/create_recovery_key.py.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from components.identity.authentik_secrets import NAMESPACE
from stacks import sso

ROOT = Path(__file__).resolve().parents[2]
WORKER = "deployment/authentik-worker"
LONGEST = 7 * 24 * 60
"""Minutes. A link is a password that somebody else has seen."""

_LINK = re.compile(r"^/recovery/use-token/[A-Za-z0-9_-]+/$", re.MULTILINE)


class EnrolError(Exception):
    """There is no link; the message says why and what to do."""


def username(stack_file: str, wanted: str) -> tuple[str, str]:
    """The user that `wanted` names, by name or address, and the platform's domain, of a stack file's text.

    Raises EnrolError for somebody who may not sign on.
    """
    content = yaml.safe_load(stack_file)
    config: dict[str, Any] = content.get("config") or {} if isinstance(content, dict) else {}
    users = (config.get("homelab:identity") or {}).get("users") or {}
    domain = (config.get("homelab:cluster") or {}).get("domain")
    if not domain:
        raise EnrolError("homelab:cluster.domain is missing, and the link begins with it; add it")
    found = [name for name, user in users.items() if wanted.lower() in (name, str(user.get("email")).lower())]
    if not found:
        there = ", ".join(sorted(users)) or "nobody"
        raise EnrolError(
            f"{wanted!r} is not in homelab:identity.users, where there is {there}; add them and `pulumi up`"
        )
    if users[found[0]].get("active") is False:
        raise EnrolError(
            f"{found[0]} is not active; remove `active: false` from homelab:identity.users and `pulumi up`"
        )
    return found[0], str(domain)


def link(output: str, errors: str, domain: str) -> str:
    """The whole link, of what Authentik's command printed. Raises EnrolError when it printed none."""
    found = _LINK.search(output)
    if found is None:
        said = errors.strip().splitlines()
        raise EnrolError(
            f"Authentik made no link: {said[-1] if said else 'it said nothing'}; a user is there some minutes "
            "after the `pulumi up` that added them"
        )
    return f"https://{sso.authority(domain)}{found.group()}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.enrol --stack STACK --user USER`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.enrol", description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--user", required=True, help="name or e-mail address")
    parser.add_argument("--minutes", type=int, default=24 * 60, help="for which the link is good; default: a day")
    chosen = parser.parse_args(arguments)
    try:
        if not 1 <= chosen.minutes <= LONGEST:
            raise EnrolError(f"--minutes: {chosen.minutes}; a link is good for 1 to {LONGEST} minutes")
        user, domain = username(_stack_file(chosen.stack), chosen.user)
        with _kubeconfig(chosen.stack) as kubeconfig:
            # The worker's container has the command; the user's name is all that is in the arguments.
            command = [
                *(_program("kubectl"), "--kubeconfig", kubeconfig, "--namespace", NAMESPACE),
                *("exec", WORKER, "--", "ak", "create_recovery_key", str(chosen.minutes), user),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnrolError(f"kubectl exec {WORKER}: {done.stderr.strip()}")
        print(link(done.stdout, done.stderr, domain))
        print(f"for {user}, good for {chosen.minutes} minutes; give it to nobody else", file=sys.stderr)
    except EnrolError as error:
        print(f"enrol: {error}", file=sys.stderr)
        return 1
    return 0


def _stack_file(stack: str) -> str:
    file = ROOT / f"Pulumi.{stack}.yaml"
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise EnrolError(f"{file.name}: {error.strerror}; name a stack with STACK=") from None


@contextmanager
def _kubeconfig(stack: str) -> Iterator[str]:
    """That of the environment or, where there is none, the stack's, in a file that nobody else reads."""
    if given := os.environ.get("KUBECONFIG"):
        yield given
        return
    command = [_program("pulumi"), "stack", "output", "--stack", stack, "--show-secrets", "kubeconfig"]
    done = subprocess.run([*command, "--non-interactive"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnrolError(
            f"no kubeconfig of stack {stack}: {done.stderr.strip()}; set KUBECONFIG, or log in to its state"
        )
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "kubeconfig"
        file.touch(mode=0o600)
        file.write_text(done.stdout, encoding="utf-8")
        yield str(file)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise EnrolError(f"{name} is not on PATH; install it")
    return found


if __name__ == "__main__":
    sys.exit(main())
