"""Synapse with the configuration that its chart composes of our values, on a PostgreSQL with the locale of the tree.

It is of release 1.98, the last under the Apache licence: later ones are under the AGPL, of which nothing is installed
here. homeserver.yaml beside this file has every setting that is composed, which of them are younger, and what is given
in their place. Besides, only places are the tests' own: ports, directories, and where database and accounts are.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks.gitops.tree import documents, releases
from checks.model.release_values import merged
from checks.program import ROOT
from stacks.matrix_secrets import SIGNING_KEY
from tests.servers.accounts import CLIENT, Accounts
from tests.servers.postgres import Postgres
from tests.servers.processes import free_ports, server

RELEASE = "1.98.0"
PACKAGES = (
    f"matrix-synapse=={RELEASE}",
    "psycopg2-binary==2.9.10",
    "setuptools==79.0.1",
    # Those of its time (poetry.lock of v1.98.0): what is younger does not load with it.
    "authlib==1.2.1",
    "prometheus-client==0.19.0",
    "twisted==23.10.0",
    # For the previews of URLs.
    "lxml==5.3.0",
)
SEED = "abcdefghijklmnopqrstuvwxyz012345"
"""Of the signing key: what a generator may have made."""

_TABLE = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
KNOWN: dict[str, dict[str, str]] = _TABLE["known"]
"""What is known of each setting, by its path; see there."""


def python() -> Path:
    """A Python with Synapse, outside the checkout."""
    home = Path.home() / ".cache" / "homelab" / f"synapse-{RELEASE}"
    found = home / "bin" / "python"
    complete = home / "complete"
    if not complete.exists() or complete.read_text() != "\n".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(found), "-m", "pip", "install", "--quiet", *PACKAGES], check=True, timeout=900)
        complete.write_text("\n".join(PACKAGES))
    return found


def locale() -> dict[str, str]:
    """What the tree's database is made with, as options of `initdb`."""
    [cluster] = [item for _, item in documents(ROOT / "gitops/matrix/database") if item.get("kind") == "Cluster"]
    said = cluster["spec"]["bootstrap"]["initdb"]
    return {"encoding": said["encoding"], "lc-collate": said["localeCollate"], "lc-ctype": said["localeCType"]}


@functools.cache
def composed() -> dict[str, Any]:
    """homeserver.yaml as it is in the pod."""
    [release] = [release for release in releases() if release.name == "matrix"]
    additional = release.values["synapse"]["additional"]
    own = (yaml.safe_load(additional[name]["config"]) for name in sorted(additional))
    return merged(_TABLE["first"], *own, _TABLE["last"])


def settings(tree: Mapping[str, Any] | None = None, above: str = "") -> dict[str, Any]:
    """The settings of homeserver.yaml by their paths, down to where they are no longer Synapse's own."""
    found: dict[str, Any] = {}
    for key, value in (composed() if tree is None else tree).items():
        path = f"{above}{key}"
        found[path] = value
        if isinstance(value, dict) and path not in ("database.args", "instance_map"):
            found |= settings(value, f"{path}.")
    return found


def signing_key() -> str:
    """The file as External Secrets Operator fills it in; the test of that operator is elsewhere."""
    template = SIGNING_KEY.derived["signing.key"]
    action = '{{ .seed | b64enc | trimSuffix "=" }}'
    assert action in template
    encoded = base64.b64encode(SEED.encode()).decode()
    return template.replace(action, encoded.removesuffix("="))


def write(here: Path, database: Postgres, accounts: Accounts, ports: Mapping[int, int]) -> Path:
    """homeserver.yaml for release 1.98 in a directory. ports: the test's by the chart's."""
    for name, content in {
        "signing.key": signing_key(),
        "registration": "r" * 32,
        "log.yaml": yaml.safe_dump({"version": 1, "disable_existing_loggers": False}),
    }.items():
        (here / name).write_text(content)
    told = dict(composed())
    del told["matrix_authentication_service"], told["macaroon_secret_key_path"]
    delegated = {
        "enabled": True,
        "issuer": accounts.address,
        "client_id": CLIENT,
        "client_auth_method": "client_secret_basic",
        "client_secret": accounts.secret,
    }
    places = {"host": "127.0.0.1", "port": database.port, "password": database.password}
    listeners = [{**one, "port": ports[one["port"]], "bind_addresses": ["127.0.0.1"]} for one in told.pop("listeners")]
    own = {
        "macaroon_secret_key": "m" * 32,
        "experimental_features": {"msc3861": delegated},
        "signing_key_path": str(here / "signing.key"),
        "registration_shared_secret_path": str(here / "registration"),
        "log_config": str(here / "log.yaml"),
        "media_store_path": str(here / "media"),
        "pid_file": str(here / "pid"),
        "database": {"args": {**places, "sslrootcert": str(database.authority)}},
        "listeners": listeners,
    }
    file = here / "homeserver.yaml"
    file.write_text(yaml.safe_dump(merged(told, own)))
    return file


@dataclass(frozen=True)
class Answer:
    status: int
    content: Any


@dataclass(frozen=True)
class Homeserver:
    """A running Synapse. ports: where it listens, by the chart's ports."""

    ports: Mapping[int, int]
    accounts: Accounts

    def ask(self, path: str, *, token: str = "", body: Any = None, port: int = 8008) -> Answer:
        """A GET, or a POST where there is a body; status 0 while nobody listens."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[port]}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as found:
                return Answer(found.status, _json(found.read()))
        except urllib.error.HTTPError as error:
            return Answer(error.code, _json(error.read()))
        except OSError:
            return Answer(0, None)


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


def command(file: Path) -> list[str]:
    return [str(python()), "-m", composed()["worker_app"], "-c", str(file)]


def ports() -> dict[int, int]:
    """Free ports of this machine for those of the chart."""
    said = [one["port"] for one in composed()["listeners"]]
    return dict(zip(said, free_ports(len(said)), strict=True))


@contextlib.contextmanager
def homeserver(here: Path, database: Postgres, accounts: Accounts) -> Iterator[Homeserver]:
    """Synapse with its data in `here`."""
    running = Homeserver(ports(), accounts)
    file = write(here, database, accounts, running.ports)

    def ready() -> bool:
        return running.ask("/health", port=8080).status == 200

    with server("synapse", command(file), directory=here, ready=ready):
        yield running
