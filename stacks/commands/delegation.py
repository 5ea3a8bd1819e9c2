"""`make delegation`: prints what the parent zone needs for the cluster's domain to resolve, before anything exists.

Owns nothing, and asks nobody: the stack's file is all that it reads. Set the records before the first `pulumi up`, or
at any time later: what needs a public name or a public certificate works once they are there.

The output is in zone file format, remarks as comments, and can be imported as it is.
"""

from __future__ import annotations

import argparse
import sys

from stacks import delegation
from stacks.commands.stack import CommandError, Stack, run, take_stack
from stacks.settings.credentials import PREFIX, SECRET_KEYS
from stacks.settings.errors import SettingsError
from stacks.settings.load import parse


def zone_file(stack: Stack) -> str:
    """Records and remarks for the parent zone.

    Raises CommandError if the stack's file cannot be read, or its settings are refused.
    """
    raw = {key.removeprefix(PREFIX): value for key, value in stack.config().items() if key.startswith(PREFIX)}
    try:
        settings = parse({key: value for key, value in raw.items() if key not in SECRET_KEYS})
    except SettingsError as error:
        raise CommandError(str(error)) from None
    remarks = [f"; {line}" for line in delegation.remarks(settings)]
    return "\n".join([*delegation.records(settings), *remarks])


def main(arguments: list[str] | None = None) -> int:
    """Entry point: `python -m stacks.commands.delegation --stack STACK`."""
    parser = argparse.ArgumentParser(prog="python -m stacks.commands.delegation", description=__doc__)
    take_stack(parser)
    chosen = parser.parse_args(arguments)
    return run("delegation", lambda: print(zone_file(Stack.chosen(chosen))))


if __name__ == "__main__":
    sys.exit(main())
