"""A real OpenID Connect provider for tests, of the library oidc-provider-mock, which stands on Authlib.

It checks client id, client secret, redirect URI and nonce, and signs with a key of its own. A person is whoever the
form is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oidc_provider_mock
import werkzeug.serving

from tests.serving import serving


@dataclass(frozen=True)
class Registered:
    """A client as the provider knows it."""

    client_id: str
    client_secret: str


@dataclass(frozen=True)
class OidcProvider:
    """A running provider; `issuer` is its URL."""

    issuer: str
    ca: Path

    def register(self, redirect_uris: Sequence[str]) -> Registered:
        """Make a client that may come back to these addresses."""
        answer = self._send(
            f"{self.issuer}/oauth2/clients",
            json.dumps({"redirect_uris": list(redirect_uris)}).encode(),
            {"Content-Type": "application/json"},
        )
        content = json.loads(answer.read())
        return Registered(content["client_id"], content["client_secret"])

    def sign_on(self, url: str, person: str) -> dict[str, str]:
        """Go to `url` and be this person; gives the parameters with which the provider sends one back."""
        answer = self._send(url, urllib.parse.urlencode({"sub": person}).encode(), {})
        back = urllib.parse.urlsplit(answer.headers["Location"])
        return {key: values[0] for key, values in urllib.parse.parse_qs(back.query).items()}

    def change(self, person: str, groups: Sequence[str]) -> None:
        """Put a person into these groups, and take them out of all others."""
        body = json.dumps(_claims(person, groups)).encode()
        self._send(f"{self.issuer}/users/{person}", body, {"Content-Type": "application/json"}, method="PUT")

    def _send(self, url: str, body: bytes, headers: Mapping[str, str], *, method: str = "POST") -> Any:
        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_: Any) -> None:
                return None

        opener = urllib.request.build_opener(
            Stay,
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca))),
        )
        try:
            request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
            return opener.open(request, timeout=20)
        except urllib.error.HTTPError as error:
            if error.code in (302, 303):
                return error
            raise AssertionError(f"{url}: {error.code} {error.read()[:300]!r}") from None


def _claims(name: str, groups: Sequence[str] | None) -> dict[str, Any]:
    return {
        "email": f"{name}@example.org",
        "preferred_username": name,
        **({} if groups is None else {"groups": list(groups)}),
    }


@contextlib.contextmanager
def oidc_provider(
    people: Mapping[str, Sequence[str] | None], ca: Path, port: int = 0, *, nonce: bool = True
) -> Iterator[OidcProvider]:
    """A provider that knows these people by name, with the groups of each, or no such claim for None.

    ca: certificate of the authority beside whose file lie `server.crt` and `server.key`, for 127.0.0.1.
    port: where it listens; 0 for any that is free.
    nonce: whether it refuses a client that sends none.
    """
    # The library's own test of transport looks at a header that no proxy sets here.
    os.environ.setdefault("AUTHLIB_INSECURE_TRANSPORT", "1")
    users = [oidc_provider_mock.User(sub=name, claims=_claims(name, groups)) for name, groups in people.items()]
    application = oidc_provider_mock.app(require_client_registration=True, require_nonce=nonce, user_claims=users)
    tls = (str(ca.with_name("server.crt")), str(ca.with_name("server.key")))
    server = werkzeug.serving.make_server("127.0.0.1", port, application, threaded=True, ssl_context=tls)
    with serving(server):
        yield OidcProvider(f"https://127.0.0.1:{server.server_port}", ca)
