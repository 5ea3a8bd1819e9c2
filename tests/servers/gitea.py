"""The real Gitea with the configuration that its chart composes of our values.

The chart's init containers are shell scripts around `gitea` itself; what they do is done here with the same commands in
the same order: `gitea generate secret`, `gitea config edit-ini` with each setting as a variable, `gitea migrate`, the
administrator, `gitea admin auth add-oauth` (scripts/init-containers/config/config_environment.sh and
templates/gitea/init.yaml of the chart gitea 12.7.0). Only places are the test's own: ports, directories, and where
database and provider are.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import json
import os
import re
import secrets
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks.model.release_values import merged
from components.identity.sso import VALUES_KEY
from components.secrets.secret_spec import Plain
from lab import programs
from lab.golang import LAB, find_go
from stacks import sso
from stacks.application_secrets import GITEA_ADMIN
from tests.charts.kustomize import GITOPS, built
from tests.servers.oidc_provider import OidcProvider
from tests.servers.postgres import Postgres
from tests.servers.processes import free_ports, run, server

VARIABLES = {
    "domain": "lab.home.arpa",
    "ingress_class": "nginx",
    "ingress_namespace": "nginx-ingress",
    "storage_class": "default",
    "services_pool": "services-pool",
    "pod_subnet": "10.244.0.0/16",
    "service_subnet": "10.96.0.0/12",
    "seed_port": "22",
}
"""What Flux fills in."""

Settings = Mapping[str, Mapping[str, Any]]
"""Of app.ini, by section and key."""

_CHART: Settings = {
    "cache": {"HOST": ""},
    "indexer": {"ISSUE_INDEXER_TYPE": "db"},
    "metrics": {"ENABLED": False},
    "queue": {"CONN_STR": ""},
    "repository": {},
    "security": {"INSTALL_LOCK": "true"},
    "server": {"ENABLE_PPROF": False, "PROTOCOL": "http", "START_SSH_SERVER": "true"},
    "session": {"PROVIDER_CONFIG": ""},
}
"""What the chart adds where values say nothing: `gitea.inline_configuration.defaults` in its templates/_helpers.tpl."""

_SECRETS = {
    ("security", "INTERNAL_TOKEN"): "INTERNAL_TOKEN",
    ("security", "SECRET_KEY"): "SECRET_KEY",
    ("oauth2", "JWT_SECRET"): "JWT_SECRET",
    ("server", "LFS_JWT_SECRET"): "LFS_JWT_SECRET",
}
"""What an init container generates, and keeps once it is there."""


def values() -> dict[str, Any]:
    """The chart's values as Flux composes them: those of the Secret for signing on, and the release's own."""
    release = built(GITOPS / "gitea", VARIABLES)["HelmRelease", "gitea"]
    given = sso.credentials(sso.GITEA, VARIABLES["domain"], private=True).keys[VALUES_KEY]
    assert isinstance(given, Plain)
    return merged(yaml.safe_load(given.value), release["spec"]["values"])


@dataclass(frozen=True)
class Answer:
    """What Gitea said. cookies: as they are sent back."""

    status: int
    body: bytes
    location: str
    cookies: Mapping[str, str]

    @property
    def content(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Gitea:
    """A running Gitea. password: of the platform's own account. people: the provider at which they sign on."""

    port: int
    ssh_port: int
    password: str
    log: Path
    people: OidcProvider

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        anybody: bool = False,
        cookies: Mapping[str, str] | None = None,
        token: str = "",
    ) -> Answer:
        """A request as the platform's account, or as anybody, who may have a token; redirections are not followed."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"token {token}"} if token else {})}
        if not anybody:
            account = f"{ACCOUNT}:{self.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(account).decode()}"
        if cookies:
            # Marked for HTTPS, which the ingress speaks; so no client would send them here by itself.
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            got = connection.getresponse()
            pairs = (re.match(r"([^=]+)=([^;]*)", text) for text in got.headers.get_all("Set-Cookie") or [])
            set_now = {pair.group(1): pair.group(2) for pair in pairs if pair}
            return Answer(got.status, got.read(), got.headers.get("Location", ""), {**(cookies or {}), **set_now})

    def sign_on(self, person: str) -> Answer:
        """What comes of a person's sign-on, as their browser does it."""
        asked = self.ask("GET", "/user/oauth2/authentik", anybody=True)
        assert asked.status in (302, 303, 307), asked
        back = self.people.sign_on(asked.location, person)
        query = urllib.parse.urlencode(back)
        return self.ask("GET", f"/user/oauth2/authentik/callback?{query}", anybody=True, cookies=asked.cookies)


_username = GITEA_ADMIN.keys["username"]
assert isinstance(_username, Plain)
ACCOUNT = _username.value
"""Of the platform itself."""


@contextlib.contextmanager
def gitea(here: Path, database: Postgres, people: OidcProvider, own: Settings | None = None) -> Iterator[Gitea]:
    """Gitea with its data in `here`. own: settings of the test beside those of the chart."""
    port, ssh_port = free_ports(2)
    composed = values()
    settings = merged(_CHART, composed["gitea"]["config"], _places(here, port, ssh_port, database), own or {})
    ready = Gitea(port, ssh_port, secrets.token_hex(24), here / "gitea.log", people)
    program = _Program(here, people.ca)
    program.configure(settings, {"database": {"PASSWD": database.password}})
    program("migrate")
    mail = composed["gitea"]["admin"]["email"]
    program(
        *("admin", "user", "create", "--admin", "--username", ACCOUNT, "--password", ready.password, "--email", mail),
        "--must-change-password=false",
    )
    [source] = composed["gitea"]["oauth"]
    root = composed["gitea"]["config"]["server"]["ROOT_URL"]
    program("admin", "auth", "add-oauth", *_options(source, people, root))

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return ready.ask("GET", "/api/healthz", anybody=True).status == 200
        return False

    with server("gitea", program.command("web"), directory=here, ready=answers, environment=program.environment()):
        yield ready


def _options(source: Mapping[str, Any], people: OidcProvider, root: str) -> list[str]:
    """The options of `add-oauth`, one for each value, as `gitea.oauth_settings` of the chart writes them."""
    client = people.register([f"{root}user/oauth2/{source['name']}/callback"])
    given = {key: value for key, value in source.items() if key != "existingSecret"}
    assert given["autoDiscoverUrl"].endswith("/.well-known/openid-configuration")
    given["autoDiscoverUrl"] = f"{people.issuer}/.well-known/openid-configuration"
    given |= {"key": client.client_id, "secret": client.client_secret}
    return [
        word
        for key, value in sorted(given.items())
        for word in ("--" + re.sub("([A-Z])", r"-\1", key).lower(), str(value))
    ]


def _places(here: Path, port: int, ssh_port: int, database: Postgres) -> Settings:
    """Where things are in a test, in place of where they are in the pod."""
    composed = values()["gitea"]["config"]["database"]
    assert composed["NAME"] == "gitea?sslrootcert=/database-authority/ca.crt"
    return {
        "database": {
            "HOST": f"127.0.0.1:{database.port}",
            "NAME": f"{database.user}?sslrootcert={database.authority}",
        },
        "repository": {"ROOT": str(here / "repositories")},
        "server": {
            "APP_DATA_PATH": str(here / "data"),
            "HTTP_ADDR": "127.0.0.1",
            "HTTP_PORT": port,
            "SSH_LISTEN_PORT": ssh_port,
            # The program is built without its files; templates and translations are beside its sources.
            "STATIC_ROOT_PATH": _sources(),
        },
        "log": {"MODE": "console", "LEVEL": "Info"},
    }


@functools.cache
def _sources() -> str:
    """The directory of Gitea's module."""
    done = run([find_go(), "mod", "download", "-json", "gitea.dev"], directory=LAB / "tools" / "gitea")
    return str(json.loads(done)["Dir"])


class _Program:
    """`gitea` with its directory and its app.ini."""

    def __init__(self, here: Path, trusted: Path) -> None:
        self._here, self._trusted = here, trusted
        self._ini = here / "app.ini"
        self._path = programs.ensure(["gitea"])["gitea"].path

    def command(self, *arguments: str) -> list[str]:
        return [str(self._path), "--config", str(self._ini), *arguments]

    def environment(self, further: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            "GITEA_WORK_DIR": str(self._here),
            "HOME": str(self._here),
            # The tests' user may be root, which no pod's is.
            "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT": "true",
            "SSL_CERT_FILE": str(self._trusted),
            **(further or {}),
        }

    def __call__(self, *arguments: str, further: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            self.command(*arguments),
            env={"PATH": os.environ["PATH"]} | self.environment(further),
            cwd=self._here,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"gitea {' '.join(arguments[:3])}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def configure(self, *settings: Settings) -> None:
        """Write app.ini; later settings go before earlier ones."""
        wanted = {
            (section, key): str(value).lower() if isinstance(value, bool) else str(value)
            for one in settings
            for section, keys in one.items()
            for key, value in keys.items()
        }
        wanted |= {place: self("generate", "secret", kind).strip() for place, kind in _SECRETS.items()}
        variables = {f"GITEA__{_masked(section)}__{key.upper()}": text for (section, key), text in wanted.items()}
        self("config", "edit-ini", "--apply-env", "--out", str(self._ini), further=variables)


def _masked(section: str) -> str:
    return section.replace(".", "_0X2E_").replace("-", "_0X2D_").upper()
