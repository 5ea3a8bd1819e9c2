"""OpenSSH's own server on a loopback port, which lets one key in as the user who runs the tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from lab.edge_host.host import new_key, public_key
from tests.privileges import need_root
from tests.servers.powerdns import listening
from tests.servers.processes import free_ports, server

_SETTINGS = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {here}/host-key
AuthorizedKeysFile {here}/authorized-keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
"""


@dataclass(frozen=True)
class Sshd:
    """Where the server is, and what opens it."""

    port: int
    private_key: str
    host_key: str
    log: Path


@contextlib.contextmanager
def sshd(here: Path) -> Iterator[Sshd]:
    """The server, until the end of the block. The test is left out without root, as whom the edge's programs run."""
    need_root("what the edge's programs do on the public host needs root there, and here")
    program = debian.ensure({"sshd": "openssh-server"})["sshd"]
    # Where the server puts its unprivileged half; the package's service makes it at its start.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    here.mkdir(mode=0o700)
    private, host = new_key(), new_key()
    [port] = free_ports(1)
    (here / "host-key").touch(mode=0o600)
    (here / "host-key").write_text(host)
    (here / "authorized-keys").write_text(public_key(private) + "\n")
    (here / "config").write_text(_SETTINGS.format(port=port, here=here))
    command = [str(program), "-D", "-e", "-f", str(here / "config")]
    with server("sshd", command, directory=here, ready=lambda: listening("127.0.0.1", port)) as log:
        yield Sshd(port, private, public_key(host), log)
