"""What a person runs to seal: one value, the keypair of a stack, the bootstrap secrets of a stack.

`make seal`, `make sealing-key` and `make sealed-bootstrap` call this. Owns where values come from and go to: they are
read from standard input or from Pulumi, and leave this process sealed or on Pulumi's standard input; never in an
argument, a file or a message. Does not own the format (`components/secrets/sealing.py`). Sealing a value needs the
stack's file only: no cluster, no passphrase.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.secrets.sealing import PlainSecret, Scope, SealingError, make_keypair, seal
from stacks.commands.stack import CommandError, Stack, read, run, take_config_file, take_stack, value_from_input
from stacks.settings.credentials import PREFIX

SECTION, CERTIFICATE = f"{PREFIX}sealing", "certificate"
KEY = f"{PREFIX}sealingKey"
BOOTSTRAP_SECRETS = "bootstrapSecrets"
"""Stack output: a list of {namespace, name, type, data}, where data maps keys to values in clear; a secret."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its result goes to standard output, everything else to standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m stacks.commands.seal", description="Seal secrets for a stack's cluster."
    )
    commands = parser.add_subparsers(required=True)

    value = commands.add_parser("value", help="seal the value on standard input; prints a SealedSecret")
    value.add_argument("--namespace", required=True)
    value.add_argument("--name", required=True, help="of the Secret")
    value.add_argument("--key", required=True, help="in the Secret")
    value.add_argument("--type", default="Opaque", help="of the Secret (default: %(default)s)")
    value.add_argument(
        "--scope",
        type=Scope,
        default=Scope.STRICT,
        metavar=f"{{{','.join(scope.value for scope in Scope)}}}",
        help="where it may be opened (default: strict)",
    )
    source = value.add_mutually_exclusive_group(required=True)
    source.add_argument("--stack", help="whose certificate is in its file")
    source.add_argument("--certificate", type=Path, help="file with a certificate in PEM")
    take_config_file(value)
    value.set_defaults(act=_seal_value)

    keypair = commands.add_parser("keypair", help="make a stack's keypair and put it into the stack's file")
    take_stack(keypair)
    keypair.add_argument("--force", action="store_true", help="replace an existing keypair")
    keypair.set_defaults(act=_make_keypair)

    bootstrap = commands.add_parser("bootstrap", help="print a stack's bootstrap secrets as SealedSecrets")
    take_stack(bootstrap)
    bootstrap.set_defaults(act=_seal_bootstrap)

    chosen = parser.parse_args(arguments)
    return run("seal", lambda: _act(chosen))


def _act(chosen: argparse.Namespace) -> None:
    try:
        chosen.act(chosen)
    except SealingError as error:
        raise CommandError(str(error)) from None


def _seal_value(chosen: argparse.Namespace) -> None:
    certificate = read(chosen.certificate) if chosen.certificate else _certificate(Stack.chosen(chosen))
    value = value_from_input("pass show mail | make seal ...")
    secret = PlainSecret(namespace=chosen.namespace, name=chosen.name, data={chosen.key: value}, type=chosen.type)
    _print([seal(secret, certificate, chosen.scope)])


def _make_keypair(chosen: argparse.Namespace) -> None:
    stack = Stack.chosen(chosen)
    file, before, there = stack.file, stack.text(), stack.config()
    if not chosen.force and (KEY in there or _section(there).get(CERTIFICATE)):
        raise CommandError(
            f"{file.name} has a keypair. With another one, the cluster opens nothing that was sealed for this one: "
            "every SealedSecret in git must be sealed again from its plain value. If that is meant, say FORCE=1; "
            "the old pair stays in the file's history in git"
        )
    pair = make_keypair()
    try:
        stack.pulumi("config", "set", "--secret", KEY, given=pair.private_key_pem)
        path = f"{SECTION}.{CERTIFICATE}"
        stack.pulumi("config", "set", "--plaintext", "--path", path, given=pair.certificate_pem)
    except BaseException:
        file.write_text(before, encoding="utf-8", newline="")
        raise
    _say(f"{file.name} has a new keypair: commit the file, then `pulumi up`. It outlives the cluster and the state.")


def _seal_bootstrap(chosen: argparse.Namespace) -> None:
    stack = Stack.chosen(chosen)
    certificate = _certificate(stack)
    try:
        output = stack.pulumi("stack", "output", "--json", "--show-secrets", BOOTSTRAP_SECRETS)
    except CommandError as error:
        raise CommandError(f"{error}; the secrets exist once `pulumi up` has ended") from None
    secrets = [_bootstrap_secret(number, item) for number, item in enumerate(json.loads(output))]
    if not secrets:
        raise CommandError(f"the stack {stack.name} has no bootstrap secrets: there is nothing to seal")
    _print(seal(secret, certificate) for secret in secrets)


def _bootstrap_secret(number: int, item: Any) -> PlainSecret:
    """One entry of the stack output; a malformed one is named by its number, as all of it may be secret."""
    try:
        data = {key: value.encode() for key, value in item["data"].items()}
        return PlainSecret(namespace=item["namespace"], name=item["name"], type=item["type"], data=data)
    except (KeyError, TypeError, AttributeError):
        raise CommandError(
            f"stack output {BOOTSTRAP_SECRETS}[{number}]: not of the form {{namespace, name, type, data}}"
        ) from None


def _section(config: dict[str, Any]) -> dict[str, Any]:
    section = config.get(SECTION)
    return section if isinstance(section, dict) else {}


def _certificate(stack: Stack) -> str:
    """The certificate in a stack's file."""
    found = _section(stack.config()).get(CERTIFICATE)
    if not isinstance(found, str):
        raise CommandError(
            f"{SECTION}.{CERTIFICATE} is not in {stack.file.name}; make the stack's keypair with "
            f"`make sealing-key STACK={stack.name}`, or name another stack with STACK="
        )
    return found


def _print(manifests: Iterable[dict[str, Any]]) -> None:
    yaml.safe_dump_all(manifests, sys.stdout, sort_keys=False, explicit_start=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
