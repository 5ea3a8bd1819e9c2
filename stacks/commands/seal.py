"""Commands of a person who seals: one value, the keypair of a stack, the bootstrap secrets of a stack.

`make seal`, `make sealing-key` and `make sealed-bootstrap` call this. Owns where values come from and go to: they are
read from standard input or from Pulumi, and leave this process sealed or on Pulumi's standard input; never in an
argument, a file or a message. Does not own the format (`components/secrets/sealing.py`). Sealing a value needs the
stack's file only: no cluster, no passphrase.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from components.secrets.sealing import PlainSecret, Scope, SealingError, make_keypair, seal
from stacks.settings.credentials import PREFIX

SECTION, CERTIFICATE = f"{PREFIX}sealing", "certificate"
KEY = f"{PREFIX}sealingKey"
BOOTSTRAP_SECRETS = "bootstrapSecrets"
"""Stack output: a list of {namespace, name, type, data}, where data maps keys to values in clear; a secret."""


class CommandError(Exception):
    """The command cannot do what it was asked; the message says why, and what helps."""


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
    value.set_defaults(run=_seal_value)

    keypair = commands.add_parser("keypair", help="make a stack's keypair and put it into the stack's file")
    keypair.add_argument("--stack", required=True)
    keypair.add_argument("--force", action="store_true", help="replace a keypair that is there")
    keypair.set_defaults(run=_make_keypair)

    bootstrap = commands.add_parser("bootstrap", help="print a stack's bootstrap secrets as SealedSecrets")
    bootstrap.add_argument("--stack", required=True)
    bootstrap.set_defaults(run=_seal_bootstrap)

    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except (CommandError, SealingError) as error:
        _say(f"error: {error}")
        return 1
    return 0


def _seal_value(chosen: argparse.Namespace) -> None:
    certificate = _read(chosen.certificate) if chosen.certificate else _certificate(chosen.stack)
    value = _value_from_input()
    secret = PlainSecret(namespace=chosen.namespace, name=chosen.name, data={chosen.key: value}, type=chosen.type)
    _print([seal(secret, certificate, chosen.scope)])


def _make_keypair(chosen: argparse.Namespace) -> None:
    file, stack = _file(chosen.stack), chosen.stack
    before = _read(file)
    config = _config(stack)
    if not chosen.force and (KEY in config or _section(config).get(CERTIFICATE)):
        raise CommandError(
            f"{file.name} has a keypair. With another one, the cluster opens nothing that was sealed for this one: "
            "every SealedSecret in git must be sealed again from its plain value. If that is meant, say FORCE=1; "
            "the old pair stays in the file's history in git"
        )
    pair = make_keypair()
    try:
        _pulumi("config", "set", "--stack", stack, "--secret", KEY, given=pair.private_key_pem)
        path = f"{SECTION}.{CERTIFICATE}"
        _pulumi("config", "set", "--stack", stack, "--plaintext", "--path", path, given=pair.certificate_pem)
    except BaseException:
        file.write_text(before)
        raise
    _say(f"{file.name} has a new keypair: commit the file, then `pulumi up`. It outlives the cluster and the state.")


def _seal_bootstrap(chosen: argparse.Namespace) -> None:
    certificate = _certificate(chosen.stack)
    try:
        output = _pulumi("stack", "output", "--stack", chosen.stack, "--json", "--show-secrets", BOOTSTRAP_SECRETS)
    except CommandError as error:
        raise CommandError(f"{error}; the secrets exist once `pulumi up` has ended") from None
    secrets = [_bootstrap_secret(number, item) for number, item in enumerate(json.loads(output))]
    if not secrets:
        raise CommandError(f"the stack {chosen.stack} has no bootstrap secrets: there is nothing to seal")
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


def _value_from_input() -> bytes:
    """The value: typed without being shown, or all of standard input, byte for byte."""
    if sys.stdin.isatty():
        return getpass.getpass("Value (is not shown): ").encode()
    value = sys.stdin.buffer.read()
    if not value:
        raise CommandError("there is no value on standard input; pipe it in, as: pass show mail | make seal ...")
    if value.endswith(b"\n"):
        _say("note: the value ends with a line break, which is sealed with it; printf %s prints a text without one")
    return value


def _file(stack: str) -> Path:
    """The stack's file, as the Pulumi CLI finds it."""
    return Path(os.environ.get("PULUMI_OPTION_CONFIG_FILE") or f"Pulumi.{stack}.yaml")


def _config(stack: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_read(_file(stack)))
    except yaml.YAMLError:
        raise CommandError(f"{_file(stack).name}: is not YAML") from None
    config = content.get("config") if isinstance(content, dict) else None
    return config if isinstance(config, dict) else {}


def _section(config: dict[str, Any]) -> dict[str, Any]:
    section = config.get(SECTION)
    return section if isinstance(section, dict) else {}


def _certificate(stack: str) -> str:
    """The certificate in a stack's file."""
    found = _section(_config(stack)).get(CERTIFICATE)
    if not isinstance(found, str):
        raise CommandError(
            f"{SECTION}.{CERTIFICATE} is not in {_file(stack).name}; make the stack's keypair with "
            f"`make sealing-key STACK={stack}`, or name another stack with STACK="
        )
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CommandError(f"{file}: cannot be read: {reason}") from None


def _pulumi(*arguments: str, given: str = "") -> str:
    """Standard output of a Pulumi command with `given` on its standard input."""
    program = shutil.which("pulumi")
    if program is None:
        raise CommandError("pulumi is not on PATH: install it, see https://www.pulumi.com/docs/install/")
    command = [program, *arguments, "--non-interactive"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"pulumi {' '.join(arguments)}: {done.stderr.strip().removeprefix('error: ')}")
    return done.stdout


def _print(manifests: Iterable[dict[str, Any]]) -> None:
    yaml.safe_dump_all(manifests, sys.stdout, sort_keys=False, explicit_start=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
