"""A real PowerDNS on a real MariaDB, configured by what the powerdns chart renders."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.dns.powerdns_secrets import ACCOUNTS, DATABASE_SECRET
from components.dns.powerdns_secrets import ROOT_PASSWORD as ROOT_KEY
from lab import debian
from tests.charts.helm import rendered

PROGRAMS = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "mariadb": "mariadb-client",
    "pdns_server": "pdns-server",
    "pdns_control": "pdns-server",
    "pdnsutil": "pdns-server",
    "sdig": "pdns-tools",
    "dig": "bind9-dnsutils",
    "/usr/share/pdns-backend-mysql/schema/schema.mysql.sql": "pdns-backend-mysql",
    f"/usr/lib/{platform.machine()}-linux-gnu/pdns/libgsqlite3backend.so": "pdns-backend-sqlite3",
    "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql": "pdns-backend-sqlite3",
}

SCHEMA = Path("/usr/share/pdns-backend-mysql/schema/schema.mysql.sql")
"""The package's copy of the file that the image carries as /usr/local/share/doc/pdns/schema.mysql.sql."""

ROOT_PASSWORD = "root-of-"  # followed by the password of the server's account


@dataclass(frozen=True)
class Server:
    """A server that answers DNS on `address`:`port`."""

    address: str
    port: int
    socket_directory: Path
    log: Path

    def dig(self, name: str, kind: str, *options: str, source: str | None = None) -> str:
        """The answer section of a query, as dig prints it."""
        dig = debian.ensure(PROGRAMS)["dig"]
        command = [str(dig), f"@{self.address}", "-p", str(self.port), "+time=2", "+tries=1", name, kind, *options]
        if source:
            command += ["-b", source]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def control(self, *command: str) -> str:
        """A command over the control socket."""
        program = debian.ensure(PROGRAMS)["pdns_control"]
        done = subprocess.run(
            [str(program), f"--socket-dir={self.socket_directory}", f"--config-dir={self.socket_directory}", *command],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def until(ready: Callable[[], bool], what: str, log: Path, seconds: float = 90) -> None:
    """Wait for `ready`; the end of `log` explains why it did not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} is not there after {seconds:.0f} s:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def listening(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def filled(template: str, *, password: str) -> str:
    """A derived key of the database's Secret, as External Secrets fills it."""
    plain = template.replace("{{ .password }}", password)
    plain = plain.replace('{{ index . "root-password" }}', f"{ROOT_PASSWORD}{password}")
    assert "{{" not in plain, plain
    return plain


@contextlib.contextmanager
def process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block runs."""
    with log.open("ab") as output:
        running = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextlib.contextmanager
def mariadb(directory: Path, address: str, port: int, password: str) -> Iterator[None]:
    """MariaDB with the chart's settings, and a Secret as External Secrets would make it."""
    accounts = filled(DATABASE_SECRET.derived[ACCOUNTS], password=password)
    with mariadb_with(directory, address, port, {ACCOUNTS: accounts, ROOT_KEY: f"{ROOT_PASSWORD}{password}"}):
        yield


@contextlib.contextmanager
def mariadb_with(directory: Path, address: str, port: int, secret: Mapping[str, str]) -> Iterator[None]:
    """MariaDB with the chart's settings and this Secret. A directory that holds a database is used as it is."""
    programs = debian.ensure(PROGRAMS)
    directory.mkdir(exist_ok=True)
    data, endpoint, log = directory / "data", directory / "socket", directory / "mariadb.log"
    accounts = directory / "accounts.sql"
    accounts.write_text(secret[ACCOUNTS])
    [server_cnf] = [
        item["data"]["server.cnf"]
        for item in rendered("powerdns", {"existingSecret": {"name": "powerdns"}})
        if item["kind"] == "ConfigMap" and "server.cnf" in item["data"]
    ]
    settings = directory / "my.cnf"
    settings.write_text(server_cnf.replace("/run/accounts/accounts.sql", str(accounts)))
    # Not Debian's account mysql: the package mariadb-server makes it, and mariadb-server-core, which has the programs
    # too and is what the images of tests with real pods are made of, does not.
    account = "nobody" if os.geteuid() == 0 else None
    if account:
        # The server gives up root, and then has to reach its directory.
        for path in [directory, *directory.parents]:
            if path.stat().st_uid == os.geteuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o011)
        shutil.chown(directory, account)
        shutil.chown(accounts, account)
    new = not data.exists()
    as_account = [f"--user={account}"] if account else []
    if new:
        install = [str(programs["mariadb-install-db"]), f"--defaults-file={settings}", f"--datadir={data}", *as_account]
        # The account's statements name a database that the image's entry point makes first.
        settings.write_text("[mariadbd]\n")
        subprocess.run(
            [*install, "--skip-test-db", "--auth-root-authentication-method=normal"], check=True, capture_output=True
        )
        settings.write_text(server_cnf.replace("/run/accounts/accounts.sql", str(accounts)))
    command = [
        *(str(programs["mariadbd"]), f"--defaults-file={settings}", f"--datadir={data}", *as_account),
        *(f"--socket={endpoint}", f"--bind-address={address}", f"--port={port}", f"--pid-file={directory / 'pid'}"),
    ]
    client = [str(programs["mariadb"]), "--no-defaults", f"--socket={endpoint}", "--user=root"]
    root = "" if new else secret[ROOT_KEY]
    with process(command, log):
        until(lambda: root_enters(directory, root), "MariaDB", log)
        if new:
            # What the image's entry point does with MARIADB_DATABASE, /docker-entrypoint-initdb.d and root's password.
            subprocess.run([*client, "-e", "CREATE DATABASE powerdns"], check=True)
            subprocess.run([*client, "powerdns"], input=SCHEMA.read_bytes(), check=True)
            secured = f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{secret[ROOT_KEY]}'"
            subprocess.run([*client, "-e", secured], check=True)
        yield


def root_enters(directory: Path, password: str) -> bool:
    """Whether the database in `directory` lets root in with a password."""
    client = [str(debian.ensure(PROGRAMS)["mariadb"]), "--no-defaults", f"--socket={directory / 'socket'}"]
    done = subprocess.run(
        [*client, "--user=root", "-e", "select 1"],
        env={**os.environ, "MYSQL_PWD": password},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def chart_settings(values: dict[str, Any]) -> str:
    """pdns.conf as the chart renders it."""
    [text] = [
        item["data"]["pdns.conf"]
        for item in rendered("powerdns", values)
        if item["kind"] == "ConfigMap" and "pdns.conf" in item["data"]
    ]
    return str(text)


@contextlib.contextmanager
def primary(
    directory: Path, values: dict[str, Any], *, address: str, api_port: int, database: int, secret: str
) -> Iterator[Server]:
    """The server as the chart configures it; only addresses and paths are the test's own."""
    directory.mkdir(exist_ok=True)
    included = directory / "secret"
    included.mkdir(exist_ok=True)
    (included / "secret.conf").write_text(secret)
    text = chart_settings(values)
    port = int(yaml.safe_load((Path("charts/powerdns/values.yaml")).read_text())["port"])
    for there, here in {
        "gmysql-host=powerdns-database": f"gmysql-host={address}",
        "gmysql-port=3306": f"gmysql-port={database}",
        "include-dir=/etc/powerdns/secret": f"include-dir={included}",
        "socket-dir=/run/pdns": f"socket-dir={directory}",
        "local-address=0.0.0.0": f"local-address={address}",
        "webserver-address=0.0.0.0": f"webserver-address={address}",
        "webserver-port=8081": f"webserver-port={api_port}",
    }.items():
        assert there in text, there
        text = text.replace(there, here)
    for found in _server(directory, text, address, port):
        until(lambda: listening(address, api_port), "the API", found.log)
        yield found


@contextlib.contextmanager
def server(directory: Path, text: str, *, address: str, port: int) -> Iterator[Server]:
    """A server with the settings `text`."""
    directory.mkdir(exist_ok=True)
    yield from _server(directory, text, address, port)


def _server(directory: Path, text: str, address: str, port: int) -> Iterator[Server]:
    (directory / "pdns.conf").write_text(text)
    log = directory / "pdns.log"
    program = debian.ensure(PROGRAMS)["pdns_server"]
    found = Server(address, port, directory, log)
    with process([str(program), f"--config-dir={directory}", "--disable-syslog"], log):
        until(lambda: "status: " in found.dig("ready.invalid", "SOA"), "PowerDNS", log)
        yield found
