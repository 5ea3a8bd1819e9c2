"""The script that waits for a provider, run as its Job runs it, against a server that answers as it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from components.identity.oidc_probe import SCRIPT, OidcProbeArgs
from components.kit.references import SecretReference
from tests.serving import serving

ISSUER = "https://auth.example.org/application/o/vault/"
KEYS = {"keys": [{"kid": "1"}]}


def description(**changed: str) -> dict[str, str]:
    return {"issuer": ISSUER, "jwks_uri": f"{ISSUER}jwks/", **changed}


@contextmanager
def provider(*answers: tuple[Any, Any]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server whose n-th description and keys are the n-th answer, the last one for good; None is 404.

    Yields its URL and the headers that it was asked with.
    """
    asked: list[dict[str, str]] = []
    turns = [*answers]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(dict(self.headers))
            told, keys = turns[0]
            content = keys if self.path.endswith("/jwks/") else told
            if self.path.endswith("openid-configuration") and len(turns) > 1:
                turns.pop(0)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(b"" if content is None else json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}", asked


def probe(address: str, seconds: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", SCRIPT.read_text(), address, ISSUER]
    return subprocess.run(
        command, env={"SECONDS": str(seconds)}, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_provider_that_answers_correctly_ends_the_wait() -> None:
    with provider((description(), KEYS)) as (url, asked):
        done = probe(url, 0)
    assert (done.returncode, done.stdout) == (0, f"all answer: {ISSUER}\n")
    assert {(headers["Host"], headers["X-Forwarded-Proto"]) for headers in asked} == {("auth.example.org", "https")}


WRONG = {
    "no such application": ((None, None), "HTTPError: HTTP Error 404"),
    "another issuer": ((description(issuer="http://authentik-server/"), KEYS), "says it is 'http://authentik-server/'"),
    "no key": ((description(), {}), "has no key, so its tokens are signed with the client's secret"),
    "no description": (({}, KEYS), "says it is None"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wait_ends_with_what_was_wrong(case: str) -> None:
    answer, message = WRONG[case]
    with provider(answer) as (url, _):
        done = probe(url, 0)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{ISSUER}: {message}")


def test_a_provider_that_comes_later_is_waited_for() -> None:
    with provider((None, None), (description(), KEYS)) as (url, _):
        done = probe(url, 30)
    assert (done.returncode, done.stdout.count("\n")) == (0, 2)


def test_a_server_that_is_not_there_is_waited_for() -> None:
    done = probe("http://127.0.0.1:9", 0)
    assert done.returncode == 1
    assert "URLError" in done.stdout


@pytest.mark.parametrize("issuers", [[], ["http://auth.example.org/application/o/vault/"], [ISSUER.rstrip("/")]])
def test_an_issuer_that_authentik_would_not_name_itself_is_refused(issuers: list[str]) -> None:
    with pytest.raises(ValueError, match="issuers: "):
        OidcProbeArgs(issuers=issuers)


def test_an_authority_of_another_namespace_is_refused() -> None:
    authority = SecretReference(namespace="cert-manager", name="ca", key="ca.crt", ready=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="authority: is in namespace 'cert-manager'"):
        OidcProbeArgs(issuers=[ISSUER], authority=authority)
