"""A real Synapse on a real PostgreSQL, with what the tree says of them: locale, signing key, federation.

Synapse is of release 1.98, the last under the Apache licence: later ones are under the AGPL, of which nothing is
installed here. It reads the same settings but for `matrix_authentication_service`, which is younger; the tests of the
schema (`tests/unit/identity/test_matrix_authentication.py`) have that side. The database's authority is left out too:
the server of the test has no certificate.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks.gitops.tree import documents, releases
from checks.program import ROOT
from lab import debian
from stacks.matrix_secrets import SIGNING_KEY
from tests.servers.processes import free_ports, server

SYNAPSE = "1.98.0"
PACKAGES = (
    f"matrix-synapse=={SYNAPSE}",
    "psycopg2-binary==2.9.10",
    "setuptools==79.0.1",
    # Those of its time: what is younger does not load with it.
    "prometheus-client==0.19.0",
    "twisted==23.10.0",
)
PROGRAMS = {"pg_ctlcluster": "postgresql"}
SEED = "abcdefghijklmnopqrstuvwxyz012345"
"""What a generator may have made."""


def synapse() -> Path:
    """A Python with Synapse, outside the checkout."""
    home = Path.home() / ".cache" / "homelab" / f"synapse-{SYNAPSE}"
    python = home / "bin" / "python"
    complete = home / "complete"
    if not complete.exists() or complete.read_text() != "\n".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True, timeout=900)
        complete.write_text("\n".join(PACKAGES))
    return python


def bootstrap() -> dict[str, Any]:
    [cluster] = [item for _, item in documents(ROOT / "gitops/matrix/database") if item.get("kind") == "Cluster"]
    return dict(cluster["spec"]["bootstrap"]["initdb"])


def signing_key() -> str:
    """The file as External Secrets Operator fills it in; the test of that operator is elsewhere."""
    template = SIGNING_KEY.derived["signing.key"]
    action = '{{ .seed | b64enc | trimSuffix "=" }}'
    assert action in template
    encoded = base64.b64encode(SEED.encode()).decode()
    return template.replace(action, encoded.removesuffix("="))


@contextlib.contextmanager
def postgres(directory: Path, *, collate: str, ctype: str) -> Iterator[int]:
    """A PostgreSQL with the database of the tree, in a locale; its port on this machine."""
    programs = _postgres()
    account = "postgres" if os.geteuid() == 0 else None
    if account:
        for path in [directory, *directory.parents]:
            if path.stat().st_uid == os.geteuid() and path != Path("/"):
                path.chmod(path.stat().st_mode | 0o011)
        shutil.chown(directory, account)
    said, data, [port] = bootstrap(), directory / "data", free_ports(1)
    as_account = ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups"] if account else []
    locale = [f"--encoding={said['encoding']}", f"--lc-collate={collate}", f"--lc-ctype={ctype}"]
    command = [
        *as_account,
        str(programs / "initdb"),
        f"--pgdata={data}",
        "--auth=trust",
        "--username=postgres",
        *locale,
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=directory)
    running = [
        *(*as_account, str(programs / "postgres"), "-D", str(data), "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={directory}"),
    ]

    def psql(statement: str) -> bool:
        done = subprocess.run(
            [str(programs / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c", statement],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    with server("postgres", running, directory=directory, ready=lambda: psql("SELECT 1")):
        assert psql(f"CREATE ROLE {said['owner']} LOGIN")
        assert psql(f"CREATE DATABASE {said['database']} OWNER {said['owner']}")
        yield port


def _postgres() -> Path:
    """The directory of PostgreSQL's programs, which Debian keeps off the path."""
    debian.ensure(PROGRAMS)
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    assert found, "the package postgresql has no server in /usr/lib/postgresql"
    return found[-1].parent


def settings(directory: Path, database: int, port: int) -> Path:
    """homeserver.yaml: what the release says, in the form in which the chart gives it to Synapse."""
    [release] = [release for release in releases() if release.name == "matrix"]
    told = release.values["synapse"]
    key = directory / "signing.key"
    key.write_text(signing_key())
    configuration: dict[str, Any] = {
        "server_name": "example.org",
        "public_baseurl": "https://matrix.example.org/",
        "signing_key_path": str(key),
        "report_stats": False,
        "macaroon_secret_key": "m" * 32,
        "registration_shared_secret": "r" * 32,
        "password_config": {"enabled": False},
        "media_store_path": str(directory / "media"),
        "max_upload_size": told["media"]["maxUploadSize"],
        "pid_file": str(directory / "pid"),
        "database": {
            "name": "psycopg2",
            "args": {
                "user": told["postgres"]["user"],
                "dbname": told["postgres"]["database"],
                "host": "127.0.0.1",
                "port": database,
            },
        },
        "listeners": [
            {
                "port": port,
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client", "federation"]}],
            }
        ],
        "trusted_key_servers": [],
    }
    configuration |= yaml.safe_load(told["additional"]["federation"]["config"])
    file = directory / "homeserver.yaml"
    file.write_text(yaml.safe_dump(configuration))
    return file


def answer(port: int, path: str) -> Any:
    """What Synapse answers; None while it does not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as found:
            return json.loads(found.read())
    except OSError:
        return None


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    said = bootstrap()
    database, home, [port] = tmp_path_factory.mktemp("postgres"), tmp_path_factory.mktemp("synapse"), free_ports(1)
    with postgres(database, collate=said["localeCollate"], ctype=said["localeCType"]) as known:
        command = [str(synapse()), "-m", "synapse.app.homeserver", "-c", str(settings(home, known, port))]
        with server(
            "synapse", command, directory=home, ready=lambda: answer(port, "/_matrix/client/versions") is not None
        ):
            yield port


def test_synapse_starts_on_the_database_that_the_tree_makes(running: int) -> None:
    assert "v1.1" in answer(running, "/_matrix/client/versions")["versions"]


def test_synapse_signs_with_the_key_from_vault(running: int) -> None:
    found = answer(running, "/_matrix/key/v2/server")
    assert found["server_name"] == "example.org"
    assert found["verify_keys"].keys() == {"ed25519:a_vault"}


def test_nobody_signs_on_with_a_password(running: int) -> None:
    flows = answer(running, "/_matrix/client/v3/login")["flows"]
    assert "m.login.password" not in {flow["type"] for flow in flows}


def test_synapse_refuses_a_database_of_another_locale(tmp_path: Path) -> None:
    [port] = free_ports(1)
    with postgres(tmp_path, collate="C.UTF-8", ctype="C.UTF-8") as database:
        command = [str(synapse()), "-m", "synapse.app.homeserver", "-c", str(settings(tmp_path, database, port))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=tmp_path)
    assert done.returncode != 0
    assert "collation" in done.stdout + done.stderr
