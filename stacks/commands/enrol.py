"""`make enrol`: prints the link by which a person signs on for the first time, or again after a lost password.

Owns nothing: the person is an entry of `homelab:identity.users`, and Authentik makes the link. Whoever has it is that
person until it expires, so it goes to them alone, and to no file or log. It leads to where they set a password.

Authentik's command is `ak create_recovery_key <minutes> <username>`, which prints the path of the link and reports an
unknown user on standard error with exit status 0: authentik/recovery/management/commands/create_recovery_key.py.
"""

from __future__ import annotations

import argparse
import re
import sys

from components.identity.authentik_secrets import NAMESPACE
from stacks import sso
from stacks.commands.stack import CommandError, Stack, config, kubectl, run, take_stack

WORKER = "deployment/authentik-worker"
LONGEST = 7 * 24 * 60
"""Minutes. A link is a password that somebody else has seen."""

_LINK = re.compile(r"^/recovery/use-token/[A-Za-z0-9_-]+/$", re.MULTILINE)


def username(stack_file: str, wanted: str) -> tuple[str, str]:
    """The user that `wanted` names, by name or address, and the platform's domain, of a stack file's text.

    Raises CommandError for somebody who may not sign on.
    """
    settings = config(stack_file)
    users = (settings.get("homelab:identity") or {}).get("users") or {}
    domain = (settings.get("homelab:cluster") or {}).get("domain")
    if not domain:
        raise CommandError("homelab:cluster.domain is missing, and the link begins with it; add it")
    found = [name for name, user in users.items() if wanted.lower() in (name, str(user.get("email")).lower())]
    if not found:
        there = ", ".join(sorted(users)) or "nobody"
        raise CommandError(f"{wanted!r} is not in homelab:identity.users, which has {there}; add them and `pulumi up`")
    if users[found[0]].get("active") is False:
        raise CommandError(
            f"{found[0]} is not active; remove `active: false` from homelab:identity.users and `pulumi up`"
        )
    return found[0], str(domain)


def link(output: str, errors: str, domain: str) -> str:
    """The whole link, from what Authentik's command printed. Raises CommandError when it printed none."""
    found = _LINK.search(output)
    if found is None:
        said = errors.strip().splitlines()
        raise CommandError(
            f"Authentik made no link: {said[-1] if said else 'it said nothing'}; a user exists a few minutes "
            "after the `pulumi up` that added them"
        )
    return f"https://{sso.authority(domain)}{found.group()}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.enrol --stack STACK --user USER`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.enrol", description=__doc__)
    take_stack(parser)
    parser.add_argument("--user", required=True, help="name or e-mail address")
    parser.add_argument("--minutes", type=int, default=24 * 60, help="for which the link is good; default: a day")
    chosen = parser.parse_args(arguments)
    return run("enrol", lambda: enrol(Stack.chosen(chosen), chosen.user, chosen.minutes))


def enrol(stack: Stack, wanted: str, minutes: int) -> None:
    """Print the link of the user that `wanted` names, good for that many minutes. Raises CommandError as `link`."""
    if not 1 <= minutes <= LONGEST:
        raise CommandError(f"--minutes: {minutes}; a link is good for 1 to {LONGEST} minutes")
    user, domain = username(stack.text(), wanted)
    with stack.kubeconfig() as kubeconfig:
        # The worker's container has the command; the user's name is all that is in the arguments.
        asked = ("exec", WORKER, "--namespace", NAMESPACE, "--", "ak", "create_recovery_key", str(minutes), user)
        done = kubectl(kubeconfig, stack.environment, *asked)
    print(link(done.stdout, done.stderr, domain))
    print(f"for {user}, good for {minutes} minutes; give it to nobody else", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
