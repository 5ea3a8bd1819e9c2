"""A host with a real PowerDNS of its own, set up as Debian sets up /etc/powerdns, on SQLite."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from components.edge.secondary import PowerDnsLayout
from lab import debian
from tests.servers.powerdns import PROGRAMS, Server, until
from tests.servers.processes import eventually, free_ports

SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")

_SETTINGS = """\
include-dir={here}/pdns.d
launch=gsqlite3
gsqlite3-database={here}/zones.sqlite3
gsqlite3-dnssec=yes
local-address={address}
local-port={port}
query-local-address={address}
socket-dir={here}
security-poll-suffix=
"""

# What systemd does: end the old process, start the new one, and succeed only if that one is up. A process whose first
# thread is a zombie still has its sockets until its last thread is one.
_RESTART = """\
#!/bin/sh
alive() {{ cat "/proc/$1/task/"*/stat 2>/dev/null | grep -qv ') Z '; }}
if test -s "{here}/pid"; then
    kill "$(cat "{here}/pid")" 2>/dev/null
    while alive "$(cat "{here}/pid")"; do sleep 0.05; done
fi
setsid "{program}" --config-dir="{here}" --daemon=no --guardian=no --disable-syslog \
    >>"{here}/pdns.log" 2>&1 </dev/null &
echo $! >"{here}/pid"
n=0
until "{control}" --config-dir="{here}" --socket-dir="{here}" rping >/dev/null 2>&1; do
    n=$((n + 1))
    if test $n -gt 200 || ! alive "$(cat "{here}/pid")"; then
        tail -n 3 "{here}/pdns.log" >&2
        exit 1
    fi
    sleep 0.05
done
"""


class PowerDnsHost:
    """The host; `own` are further settings of its own."""

    def __init__(self, here: Path, address: str, port: int, own: str = "") -> None:
        self.here = here
        (here / "pdns.d").mkdir(parents=True)
        programs = debian.ensure(PROGRAMS)
        self.main = here / "pdns.conf"
        self.main.write_text(_SETTINGS.format(here=here, address=address, port=port) + own)
        with contextlib.closing(sqlite3.connect(here / "zones.sqlite3")) as database:
            database.executescript(SCHEMA.read_text())
        restart = here / "restart.sh"
        restart.write_text(
            _RESTART.format(here=here, program=programs["pdns_server"], control=programs["pdns_control"])
        )
        restart.chmod(0o755)
        self.layout = PowerDnsLayout(
            directory=str(here),
            file=str(here / "pdns.d" / "zz-homelab.conf"),
            api_file=str(here / "pdns.d" / "zz-homelab-api.conf"),
            group="root",
            api_port=free_ports(1)[0],
            restart=(str(restart),),
            record=str(here / "record" / "powerdns.json"),
        )
        self.dns = Server(address, port, here, here / "pdns.log")

    @property
    def process(self) -> str:
        """Id of the server's process."""
        return (self.here / "pid").read_text().strip()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The server, until the end of the block; restarts included."""
        subprocess.run(self.layout.restart, check=True)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self.process), signal.SIGTERM)
                eventually(lambda: True if self._gone() else None, "end of PowerDNS")

    def _gone(self) -> bool:
        try:
            return all(
                task.read_text().rpartition(")")[2].split()[0] == "Z"
                for task in Path(f"/proc/{self.process}/task").glob("*/stat")
            )
        except (FileNotFoundError, ProcessLookupError):
            return True

    def files(self) -> dict[str, str]:
        """Every file of settings with its text."""
        return {path.name: path.read_text() for path in [self.main, *(self.here / "pdns.d").iterdir()]}

    def pdnsutil(self, *command: str) -> str:
        """What pdnsutil prints."""
        program = debian.ensure(PROGRAMS)["pdnsutil"]
        done = subprocess.run(
            [str(program), f"--config-dir={self.here}", *command], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    def answers(self, name: str, kind: str, expected: str, *, seconds: float) -> float:
        """Seconds until an answer holds `expected`.

        Raises:
            AssertionError: it took longer than `seconds`.
        """
        begun = time.monotonic()
        until(lambda: expected in self.dns.dig(name, kind), f"{expected!r} as {kind} of {name}", self.dns.log, seconds)
        return time.monotonic() - begun
