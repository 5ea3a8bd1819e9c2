"""`make give`: puts a value that a person has into Vault: a token of somebody else's service, a password.

Owns the way of such a value from standard input to its place in Vault. Does not own which there are: that is the table
`GIVEN` in stacks/application_secrets.py.

It signs on to Vault as the namespace's own account, whose rights end at that namespace's part of Vault, with a token
that the API server makes for it: whoever may do that may read the Secret as well. Vault's own command is run in its
leader's pod, so no other way to Vault is opened. The value and the token are on standard input, in no argument and no
file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.secrets.secret_spec import GivenSpec
from components.vault.clients import AUDIENCE, AUTH_PATH, CLIENT, EXTERNAL_SECRETS, SECRETS, VAULT_NAMESPACE
from stacks.application_secrets import GIVEN, GivenByAPerson, unknown
from stacks.commands.stack import CommandError, Stack, kubectl, run, take_stack, value_from_input

_LEADER = ("get", "pods", "--namespace", VAULT_NAMESPACE, "--selector", "vault-active=true", "--output", "name")
_TOKEN_MINUTES = 10

_SIGN_ON = (
    "IFS= read -r jwt; "
    'VAULT_TOKEN="$(printf %s "$jwt" | '
    f'vault write -field=token auth/{AUTH_PATH}/login role={EXTERNAL_SECRETS} jwt=-)" || exit 3; export VAULT_TOKEN; '
)
"""Begins a script whose standard input begins with a line that is the account's token."""
_READ = _SIGN_ON + 'exec vault read -format=json "$0"'
_WRITE = _SIGN_ON + 'exec vault write "$0" -'
_NOTHING = "No value found"


@dataclass(frozen=True)
class Vault:
    """Vault, as the account of one namespace."""

    kubeconfig: Path
    environment: Mapping[str, str]
    namespace: str

    def read(self, path: str) -> tuple[dict[str, Any], int]:
        """The values at a path, and their version; none, and 0, if there are none. Raises CommandError."""
        try:
            found = json.loads(self._run(_READ, path))["data"]
        except CommandError as error:
            if _NOTHING in str(error):
                return {}, 0
            raise
        return dict(found["data"] or {}), int(found["metadata"]["version"])

    def write(self, path: str, values: Mapping[str, Any], replaced: int) -> None:
        """Write values in place of the version that they replace. Raises CommandError if there is another by now."""
        self._run(_WRITE, path, json.dumps({"options": {"cas": replaced}, "data": dict(values)}))

    def _run(self, script: str, path: str, given: str = "") -> str:
        leader = self._ask(*_LEADER).split()
        if not leader:
            raise CommandError(f"no Vault is active in namespace {VAULT_NAMESPACE}; see docs/vault.md")
        token = self._ask(
            *("create", "token", CLIENT, "--namespace", self.namespace),
            *("--audience", AUDIENCE, "--duration", f"{_TOKEN_MINUTES}m"),
        )
        inside = ("env", "VAULT_CACERT=/vault/tls/ca.crt", "sh", "-c", script, f"{SECRETS.path}/data/{path}")
        return self._ask(
            *("exec", "--stdin", "--namespace", VAULT_NAMESPACE, leader[0], "--container", "vault", "--", *inside),
            given=f"{token.strip()}\n{given}",
        )

    def _ask(self, *arguments: str, given: str = "") -> str:
        return kubectl(self.kubeconfig, self.environment, *arguments, given=given).stdout


def listed(rows: Mapping[str, GivenByAPerson] = GIVEN) -> list[str]:
    """Every secret that a person gives, with its keys; one line each."""
    return [
        f"{row.spec.namespace}/{name}: {key}, {what}; for {row.consumers}"
        for name, row in sorted(rows.items())
        for key, what in row.spec.keys.items()
    ]


def chosen_key(spec: GivenSpec, key: str) -> str:
    """The key that is meant; without one, the only one. Raises CommandError if there is no such key."""
    if not key and len(spec.keys) == 1:
        return next(iter(spec.keys))
    if key not in spec.keys:
        raise CommandError(f"{spec.name} has no key {key!r}; give KEY=<one of {', '.join(spec.keys)}>")
    return key


def give(stack: Stack, spec: GivenSpec, key: str, value: str) -> list[str]:
    """Put one value into Vault beside those of the secret's other keys. Returns what to tell the person.

    Raises:
        CommandError: with Vault as it was, unless the message says otherwise.
    """
    with stack.kubeconfig() as kubeconfig:
        vault = Vault(kubeconfig, stack.environment, spec.namespace)
        values, version = vault.read(spec.path)
        values[key] = value
        vault.write(spec.path, values, version)
        said = [f"{spec.namespace}/{spec.name}: {key} is in Vault, {spec.path}, as version {version + 1}"]
        if missing := [name for name in spec.keys if name not in values]:
            return [*said, f"the Secret appears once {', '.join(missing)} is given too"]
        asked = ("annotate", "externalsecret", spec.name, "--namespace", spec.namespace, "--overwrite")
        try:
            # The operator reads anew whenever this annotation changes: https://external-secrets.io/latest/introduction/faq/
            kubectl(kubeconfig, stack.environment, *asked, f"force-sync={time.time_ns()}")
        except CommandError as error:
            raise CommandError(f"{error}; the value is in Vault, and read within minutes") from None
    return [*said, f"the Secret has it in a moment, for {GIVEN[spec.name].consumers}"]


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.give --stack STACK [--name NAME [--key KEY]]`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.give", description=__doc__)
    take_stack(parser)
    parser.add_argument("--name", default="", help="of the secret; without it, they are listed")
    parser.add_argument("--key", default="", help="of the value; needed where there are several")
    chosen = parser.parse_args(arguments)
    return run("give", lambda: print(*_give_or_list(chosen), sep="\n"))


def _give_or_list(chosen: argparse.Namespace) -> list[str]:
    if not chosen.name:
        return listed()
    if wrong := unknown(chosen.name, GIVEN):
        raise CommandError(wrong)
    spec = GIVEN[chosen.name].spec
    key = chosen_key(spec, chosen.key)
    stack = Stack.chosen(chosen)
    value = value_from_input(f"pass show token | make give STACK={stack.name} NAME={spec.name} KEY={key}")
    try:
        return give(stack, spec, key, value.decode("utf-8"))
    except UnicodeDecodeError:
        raise CommandError("the value is not text; Vault and a Secret from it hold text only") from None


if __name__ == "__main__":
    sys.exit(main())
