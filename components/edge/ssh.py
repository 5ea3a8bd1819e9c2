"""Runs a program of `components.edge.on_host` on another host, over SSH, as a resource.

Owns the connection and how a program gets there: as text on the standard input of `python3 -`, so that nothing of this
project is stored on the host, and no secret is in a command line. Does not own what a program does.
Must exist before: the host with an SSH server and Python 3.9 or newer; the account is root, or may use `sudo` without
a password.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command import remote

DIAL_ATTEMPTS = 5
"""How often a connection is tried before a host counts as unreachable."""

PACKAGE = "on_host"
"""The package name by which the programs import each other on the host. It is in the state, so it must never change."""

_HERE = Path(__file__).resolve().parent
_LOADER = """\
import json, sys, types
wanted = json.loads(r'''
{wanted}
''')
for name, text in json.loads(r'''{modules}''').items():
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__, module.__package__ = [], "on_host"
    exec(compile(text, name, "exec"), module.__dict__)
try:
    getattr(module, sys.argv[1])(wanted)
except sys.modules["on_host.common"].HostError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True, kw_only=True)
class SshHost:
    """A host and the account there.

    host: name or address. host_key: its public key, as in known_hosts without the host; None, in which case no host is
    verified, is for previews. private_key: of the account, in PEM or OpenSSH's format.
    """

    host: str
    private_key: pulumi.Input[str]
    host_key: str | None = None
    port: int = 22
    user: str = "root"

    def program(
        self,
        name: str,
        program: str,
        wanted: Mapping[str, Any],
        *,
        install: str,
        remove: str | None,
        opts: pulumi.ResourceOptions,
    ) -> remote.Command:
        """The resource that runs function `install` of `components.edge.on_host.<program>`, and `remove` when it goes.

        `install` runs again whenever `wanted`, which both get as JSON, or the program changes. With another host the
        resource is replaced: installed on the new one, then removed from the old one. It is shown in previews unless
        `wanted` holds a secret.
        """
        python = "python3 -" if self.user == "root" else "sudo -n python3 -"
        # Indented for the preview's sake, which then shows the changed lines.
        text = pulumi.Output.json_dumps(wanted, indent=2, sort_keys=True).apply(lambda known: text_of(program, known))
        return remote.Command(
            name,
            connection=remote.ConnectionArgs(
                host=self.host,
                port=self.port,
                user=self.user,
                private_key=pulumi.Output.secret(self.private_key),
                host_key=self.host_key,
                dial_error_limit=DIAL_ATTEMPTS,
            ),
            create=f"{python} {install}",
            delete=None if remove is None else f"{python} {remove}",
            stdin=text,
            triggers=[self.host],
            # Would need AcceptEnv in the host's sshd_config.
            add_previous_output_in_env=False,
            opts=opts,
        )


def text_of(program: str, wanted: str) -> str:
    """What `python3 -` is given: the program's modules, and the JSON for the function that its argument names."""
    modules = {PACKAGE: ""}
    for module in ("common", program):
        modules[f"{PACKAGE}.{module}"] = (_HERE / "on_host" / f"{module}.py").read_text(encoding="utf-8")
    return _LOADER.format(wanted=_quotable(wanted), modules=_quotable(json.dumps(modules)))


def _quotable(text: str) -> str:
    """JSON that can stand between the quotes of the loader."""
    return text.replace("'", "\\u0027")
