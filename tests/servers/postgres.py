"""A real PostgreSQL that takes connections over TLS alone."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from tests.servers.certificates import write_pair
from tests.servers.processes import free_port, run, server

_ACCOUNT = "nobody"
"""As whom it runs where the tests run as root, which it refuses."""


@dataclass(frozen=True)
class Postgres:
    """Where it is; `authority` signed its certificate."""

    port: int
    authority: Path
    user: str
    password: str


@contextlib.contextmanager
def postgres(database: str, locale: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A server with one database, which belongs to a user of the same name.

    locale: options of `initdb` without their dashes, such as lc-collate; by default it takes those of the machine.
    """
    debian.ensure({"pg_ctlcluster": "postgresql"})
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    here = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        yield from _running(database, programs, here, locale or {})
    finally:
        shutil.rmtree(here, ignore_errors=True)


def _running(database: str, programs: Path, here: Path, locale: Mapping[str, str]) -> Iterator[Postgres]:
    as_user = ["setpriv", f"--reuid={_ACCOUNT}", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    write_pair(here, "postgres")
    port, password = free_port("127.0.0.1"), secrets.token_hex(16)
    if as_user:
        for place in (here, *here.iterdir()):
            shutil.chown(place, _ACCOUNT)
    (here / "postgres.key").chmod(0o600)
    data = here / "data"
    make = [str(programs / "initdb"), "--pgdata", str(data), "--username=admin", "--auth=trust", "--no-sync"]
    run([*as_user, *make, *(f"--{option}={value}" for option, value in locale.items())])
    (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(here),
        "ssl": "on",
        "ssl_cert_file": str(here / "postgres.crt"),
        "ssl_key_file": str(here / "postgres.key"),
        "fsync": "off",
    }
    command = [*as_user, str(programs / "postgres"), "-D", str(data)]
    command += [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    ask = [str(programs / "psql"), f"--host={here}", f"--port={port}", "--username=admin", "--dbname=postgres"]

    def ready() -> bool:
        return subprocess.run([*ask, "-c", "select 1"], capture_output=True, check=False).returncode == 0

    with server("postgres", command, directory=here, ready=ready):
        run([*ask, "--quiet", "--set=ON_ERROR_STOP=1"], stdin=_MAKE.format(name=database, password=password))
        yield Postgres(port, here / "postgres.crt", database, password)


_MAKE = """
create role {name} login password '{password}';
create database {name} owner {name};
"""
