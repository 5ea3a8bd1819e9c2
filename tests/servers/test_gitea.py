"""The real Gitea, as its chart configures it with our values, on PostgreSQL: people, Git, Flux and the seed."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pulumi
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.gitops.git_link import GitLinkArgs
from components.gitops.hand_over import DeployKey
from lab import debian
from lab.edge_host.host import new_key, public_key
from tests.charts.kustomize import GITOPS, built
from tests.servers.gitea import ACCOUNT, VARIABLES, Gitea, gitea
from tests.servers.kubernetes import certificate, pem
from tests.servers.oidc_provider import OidcProvider, oidc_provider
from tests.servers.postgres import Postgres, postgres
from tests.servers.processes import eventually
from tests.servers.sshd import Sshd, sshd
from tests.serving import serving

pytestmark = pytest.mark.long

PEOPLE = {
    **{name: ["gitea-admins"] for name in ("ann", "fay")},
    **{name: ["gitea-users"] for name in ("bob", "dan", "eve")},
}
WEBHOOK, TOKEN = "http://webhook-receiver.flux-system.svc.cluster.local/hook/0123", "told"
OTHER_WEBHOOK = "http://webhook-receiver.flux-system.svc.cluster.local/hook/4567"

Call = tuple[str, Mapping[str, str], bytes]


@pytest.fixture(scope="module")
def calls() -> Iterator[tuple[str, list[Call]]]:
    """A proxy in place of the network to Flux's receiver: what webhooks sent, by URL."""
    seen: list[Call] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", seen


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    directory = tmp_path_factory.mktemp("provider")
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("cluster CA", authority_key, "cluster CA", authority_key)
    served = certificate("auth", server_key, "cluster CA", authority_key)
    (directory / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (directory / "server.crt").write_bytes(served.public_bytes(serialization.Encoding.PEM))
    (directory / "server.key").write_bytes(pem(server_key))
    # Gitea sends no nonce, which the flow that it uses does not need.
    with oidc_provider(PEOPLE, directory / "ca.crt", nonce=False) as running:
        yield running


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres("gitea") as running:
        yield running


@pytest.fixture(scope="module")
def server(
    database: Postgres, people: OidcProvider, calls: tuple[str, list[Call]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gitea]:
    own = {"webhook": {"PROXY_URL": calls[0], "PROXY_HOSTS": urlsplit(WEBHOOK).hostname}}
    with gitea(tmp_path_factory.mktemp("gitea"), database, people, own) as running:
        yield running


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, str]]:
    """A host with OpenSSH, and a directory of repositories on it."""
    debian.ensure({"ssh": "openssh-client"})
    here = tmp_path_factory.mktemp("seed")
    with sshd(here / "sshd") as host:
        yield host, str(here)


def git(*arguments: str, directory: Path, **environment: str) -> str:
    who = {f"GIT_{role}_{part}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    plain = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", *arguments], cwd=directory, env=plain | who | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(directory: Path, text: str) -> str:
    """A commit with one changed file, in a checkout that is made if it is not there."""
    if not (directory / ".git").exists():
        directory.mkdir(exist_ok=True)
        git("init", "--quiet", "--initial-branch=main", directory=directory)
    (directory / "file").write_text(text)
    git("add", "file", directory=directory)
    git("commit", "--quiet", "--message", text, directory=directory)
    return git("rev-parse", "HEAD", directory=directory)


class Link:
    """hand-over.sh as Flux applies it, with the Secrets that the program makes."""

    def __init__(self, server: Gitea, seed: tuple[Sshd, str], here: Path, name: str) -> None:
        host, place = seed
        self.server, self.host, self.here, self.name = server, host, here, name
        self.seed = f"ssh://{getpass.getuser()}@127.0.0.1:{host.port}{place}/{name}.git"
        self.bare = Path(place) / f"{name}.git"
        git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare), directory=Path(place))
        self.own = f"{server.address}/platform-{name}/homelab.git"

    def run(self, *, from_own: bool, keyed: bool = True, webhook: str = WEBHOOK) -> subprocess.CompletedProcess[str]:
        # As `pulumi config set` stores it.
        stored = self.host.private_key.rstrip("\n")
        key = DeployKey(url=self.seed, private_key=stored, host_key=self.host.host_key)
        arguments = GitLinkArgs(
            namespace="gitea",
            webhook=webhook,
            token=TOKEN,
            own=self.own,
            seed=self.seed,
            branch="main",
            from_own=from_own,
            key=key if keyed else None,
        )
        given = {"username": ACCOUNT, "password": self.server.password}
        home = self.here / "home"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        for folder, content in (("hand-over", arguments.data()), ("account", given)):
            place = self.here / folder
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            for key_name, text in content.items():
                assert not isinstance(text, pulumi.Output)
                (place / key_name).touch(mode=0o600)
                (place / key_name).write_text(str(text))
        script = self.here / "hand-over.sh"
        script.write_text(applied_script())
        environment = {
            "HAND_OVER": str(self.here / "hand-over"),
            "ACCOUNT": str(self.here / "account"),
            "HOME": str(home),
        }
        return subprocess.run(
            ["bash", str(script)],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def done(self, **how: Any) -> str:
        """The same, where it must succeed; gives its output."""
        ran = self.run(**how)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def heads(self) -> tuple[str, str]:
        """The newest commits of Gitea, as anybody reads it, and of the seed; empty where there is none."""
        own = git("ls-remote", self.own, "refs/heads/main", directory=self.here).partition("\t")[0]
        return own, git("for-each-ref", "--format=%(objectname)", "refs/heads/main", directory=self.bare)


def applied_script() -> str:
    objects = built(GITOPS / "gitea" / "hand-over", VARIABLES)
    [text] = [item["data"]["hand-over.sh"] for (kind, _), item in objects.items() if kind == "ConfigMap"]
    return str(text)


@pytest.fixture
def link(server: Gitea, seed: tuple[Sshd, str], tmp_path: Path, request: pytest.FixtureRequest) -> Link:
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    return Link(server, seed, tmp_path, name)


def test_gitea_has_nothing_against_a_setting(server: Gitea) -> None:
    said = server.log.read_text().splitlines()
    assert [line for line in said if "eprecated" in line or "[F]" in line] == []
    of_settings = [line for line in said if "modules/setting" in line and ("[E]" in line or "[W]" in line)]
    # The tests' user may be root, which no pod's is.
    assert [line for line in of_settings if "mustNotRunAsRoot" not in line] == []


def test_members_of_the_administrators_group_administrate_and_others_do_not(server: Gitea) -> None:
    for person in ("ann", "bob"):
        server.sign_on(person)
    accounts = {one: server.ask("GET", f"/api/v1/users/{one}").content for one in ("ann", "bob")}
    assert {name: account.get("is_admin") for name, account in accounts.items()} == {"ann": True, "bob": False}


def test_who_leaves_the_administrators_group_administrates_nothing_from_the_next_sign_on(server: Gitea) -> None:
    server.sign_on("fay")
    assert server.ask("GET", "/api/v1/users/fay").content["is_admin"] is True
    server.people.change("fay", ["gitea-users"])
    server.sign_on("fay")
    assert server.ask("GET", "/api/v1/users/fay").content["is_admin"] is False


def test_nobody_has_an_account_without_the_provider(server: Gitea) -> None:
    assert b"password" not in server.ask("GET", "/user/login", anybody=True).body
    assert server.ask("POST", "/user/sign_up", {}, anybody=True).status in (403, 404)


def over_ssh(server: Gitea, person: str, here: Path) -> tuple[str, str]:
    """The URL of a repository of a person who has signed on, and the command with the key that lets them in."""
    debian.ensure({"ssh": "openssh-client"})
    key = new_key()
    (here / "key").touch(mode=0o600)
    (here / "key").write_text(key)
    added = server.ask("POST", f"/api/v1/admin/users/{person}/keys", {"title": "test", "key": public_key(key)})
    assert added.status == 201, added
    made = server.ask("POST", f"/api/v1/admin/users/{person}/repos", {"name": "notes"})
    assert made.status == 201, made
    unknown = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    command = f"ssh -F none -i {here / 'key'} -o IdentitiesOnly=yes {unknown}"
    return f"ssh://{getpass.getuser()}@127.0.0.1:{server.ssh_port}/{person}/notes.git", command


def test_git_over_ssh_takes_a_persons_key(server: Gitea, tmp_path: Path) -> None:
    server.sign_on("eve")
    url, over = over_ssh(server, "eve", tmp_path)
    newest = commit(tmp_path / "notes", "first")
    git("push", "--quiet", url, "main", directory=tmp_path / "notes", GIT_SSH_COMMAND=over)
    assert git("ls-remote", url, "main", directory=tmp_path, GIT_SSH_COMMAND=over).startswith(newest)


def test_who_may_not_sign_in_any_more_has_no_page_no_token_and_no_key(server: Gitea, tmp_path: Path) -> None:
    """Step 2 of the drill in docs/identity.md: nothing of it asks the provider."""
    page = server.sign_on("dan").cookies
    url, over = over_ssh(server, "dan", tmp_path)
    wanted = {"name": "laptop", "scopes": ["read:user"]}
    token = server.ask("POST", "/api/v1/users/dan/tokens", wanted).content["sha1"]

    def own_page(cookies: Mapping[str, str]) -> bool:
        """Who may not sign in gets a page as well, which says so."""
        answer = server.ask("GET", "/user/settings", anybody=True, cookies=cookies)
        return answer.status == 200 and b'name="full_name"' in answer.body

    def refused() -> list[bool]:
        by_key = ["git", "ls-remote", url]
        ran = subprocess.run(by_key, env=os.environ | {"GIT_SSH_COMMAND": over}, capture_output=True, check=False)
        by_token = server.ask("GET", "/api/v1/user", anybody=True, token=token).status
        return [not own_page(page), by_token in (401, 403), ran.returncode != 0]

    assert refused() == [False, False, False]
    account = server.ask("GET", "/api/v1/users/dan").content
    told = {"login_name": account["login_name"], "source_id": account["source_id"], "prohibit_login": True}
    assert server.ask("PATCH", "/api/v1/admin/users/dan", told).status == 200
    assert refused() == [True, True, True]
    assert not own_page(server.sign_on("dan").cookies)


def test_what_the_seed_has_is_in_gitea_while_flux_reads_the_seed(link: Link, tmp_path: Path) -> None:
    for text in ("first", "second"):
        newest = commit(tmp_path / "work", text)
        git("push", "--quiet", str(link.bare), "main", directory=tmp_path / "work")
        link.done(from_own=False)
        assert link.heads() == (newest, newest)


def test_what_gitea_has_is_in_the_seed_while_flux_reads_gitea(link: Link, tmp_path: Path) -> None:
    commit(tmp_path / "work", "first")
    git("push", "--quiet", str(link.bare), "main", directory=tmp_path / "work")
    link.done(from_own=False)
    newest = commit(tmp_path / "work", "second")
    push_to_gitea(link, tmp_path / "work")
    assert newest in link.done(from_own=True) or link.heads()[1] == newest
    assert link.heads() == (newest, newest)


def push_to_gitea(link: Link, work: Path) -> None:
    credentials = f"machine 127.0.0.1 login {ACCOUNT} password {link.server.password}\n"
    (work / ".netrc").write_text(credentials)
    git("push", "--quiet", link.own, "main", directory=work)


def test_a_new_gitea_is_filled_from_the_seed_even_if_flux_was_to_read_gitea(link: Link, tmp_path: Path) -> None:
    newest = commit(tmp_path / "work", "first")
    git("push", "--quiet", str(link.bare), "main", directory=tmp_path / "work")
    link.done(from_own=True)
    assert link.heads() == (newest, newest)


def test_what_one_side_has_alone_is_never_overwritten(link: Link, tmp_path: Path) -> None:
    commit(tmp_path / "work", "first")
    git("push", "--quiet", str(link.bare), "main", directory=tmp_path / "work")
    link.done(from_own=False)
    push_to_gitea_after = commit(tmp_path / "work", "in Gitea")
    push_to_gitea(link, tmp_path / "work")
    git("reset", "--quiet", "--hard", "HEAD~1", directory=tmp_path / "work")
    alone = commit(tmp_path / "work", "in the seed")
    git("push", "--quiet", str(link.bare), "main", directory=tmp_path / "work")
    for from_own in (False, True):
        ran = link.run(from_own=from_own)
        assert ran.returncode != 0
        assert "rejected" in ran.stderr
    assert link.heads() == (push_to_gitea_after, alone)


def test_without_a_key_for_the_seed_the_repository_and_the_webhook_are_made_all_the_same(link: Link) -> None:
    link.done(from_own=True, keyed=False)
    assert link.heads() == ("", "")
    assert link.server.ask("GET", f"/api/v1/repos/platform-{link.name}/homelab", anybody=True).status == 200


def hooks(server: Gitea) -> list[str]:
    return [one["config"]["url"] for one in server.ask("GET", "/api/v1/admin/hooks?type=system").content]


def test_there_is_one_webhook_however_often_it_is_made(link: Link) -> None:
    for _ in range(2):
        link.done(from_own=False)
    assert hooks(link.server) == [WEBHOOK]


def test_a_webhook_of_an_earlier_token_goes(link: Link) -> None:
    for webhook in (OTHER_WEBHOOK, WEBHOOK):
        link.done(from_own=False, webhook=webhook)
        assert hooks(link.server) == [webhook]


def test_a_push_is_told_and_signed_as_flux_checks_it(link: Link, tmp_path: Path, calls: tuple[str, list[Call]]) -> None:
    link.done(from_own=True)
    newest = commit(tmp_path / "work", "first")
    push_to_gitea(link, tmp_path / "work")

    def told() -> Call | None:
        return next((call for call in calls[1] if newest.encode() in call[2]), None)

    url, headers, body = eventually(told, "webhook of the push", seconds=60)
    assert url == WEBHOOK
    assert headers["x-github-event"] == "push"
    assert headers["x-hub-signature-256"] == "sha256=" + hmac.new(TOKEN.encode(), body, hashlib.sha256).hexdigest()
    assert json.loads(body)["after"] == newest


def test_no_secret_is_in_what_the_script_says(link: Link, tmp_path: Path) -> None:
    commit(tmp_path / "work", "first")
    git("push", "--quiet", str(link.bare), "main", directory=tmp_path / "work")
    ran = link.run(from_own=False)
    assert not [one for one in (TOKEN, link.server.password) if one in ran.stdout + ran.stderr]
