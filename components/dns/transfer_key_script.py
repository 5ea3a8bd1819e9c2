"""Has PowerDNS give a zone to whoever signs with one key; runs in a Job, with the standard library of Python 3.9 alone.

Arguments: URL of the API, the zone without a final dot, the key's name and algorithm, and a directory with the files
`api-key` and `tsig-key`. What is there already as it should be is not written. An API that does not answer and a zone
that is not there are waited for, until SECONDS (environment, default 120) have passed. Ends with 1 and a reason where
it did not succeed; neither key is ever part of one, nor is what PowerDNS says of keys, which may hold them.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class NotYetError(Exception):
    """What may come by itself."""


class RefusedError(Exception):
    """What no waiting changes."""


class Api:
    """PowerDNS's HTTP API."""

    def __init__(self, url: str, key: str) -> None:
        self.base, self.key = f"{url}/api/v1/servers/localhost", key

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        """The answer to a request; None where there is no content.

        Raises:
            NotYetError: nobody answers, the server has a fault, or there is no such object.
            RefusedError: the server will not do it.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self.base + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=10) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            said = f"{method} {path}: {error.code} {error.reason}"
            if error.code == 401:
                raise RefusedError(f"{said}; the API key is not the server's, or not any more") from None
            if error.code == 404:
                raise NotYetError(f"{said}; PowerDNS has no such thing") from None
            if error.code >= 500:
                raise NotYetError(said) from None
            raise RefusedError(said) from None
        except (OSError, http.client.HTTPException) as error:
            raise NotYetError(f"{self.base} does not answer: {error}") from None
        return json.loads(content) if content else None


def ensure(api: Api, zone: str, key: dict[str, str]) -> bool:
    """Have transfers of the zone signed with the key and with no other; whether anything was changed."""
    path = f"/zones/{zone}."
    before = api("GET", f"{path}?rrsets=false")["master_tsig_key_ids"]
    key_id, changed = ensure_key(api, key)
    if before == [key_id]:
        return changed
    api("PUT", path, {"master_tsig_key_ids": [key_id]})
    return True


def ensure_key(api: Api, key: dict[str, str]) -> tuple[str, bool]:
    """Have PowerDNS know the key, and no other of its name; its id in the API, and whether anything was changed."""
    known = [one for one in api("GET", "/tsigkeys") if one["name"] == key["name"]]
    if len(known) == 1:
        key_id = str(known[0]["id"])
        found = api("GET", f"/tsigkeys/{key_id}")
        if all(found[part] == key[part] for part in key):
            return key_id, False
    # A key of another algorithm would stay valid beside the new one: PowerDNS tells keys apart by both. Those that it
    # deletes by a name are all of that name.
    if known:
        api("DELETE", f"/tsigkeys/{known[0]['id']}")
    return str(api("POST", "/tsigkeys", key)["id"]), True


def read(directory: str, name: str) -> str:
    """What a Secret holds. Raises RefusedError for what no header and no key could be."""
    text = (Path(directory) / name).read_text(encoding="utf-8")
    if not text or not text.isascii() or not text.isprintable():
        raise RefusedError(f"{name}: not one line of ASCII")
    return text


def attempt(url: str, zone: str, name: str, algorithm: str, directory: str) -> str:
    """Do it once, with the keys as they are now; what was done."""
    secret = read(directory, "tsig-key")
    try:
        base64.b64decode(secret, validate=True)
    except ValueError:
        raise RefusedError("tsig-key: not in Base64; make one with `openssl rand -base64 32`") from None
    key = {"name": name, "algorithm": algorithm, "key": secret}
    changed = ensure(Api(url, read(directory, "api-key")), zone, key)
    return f"{zone}: transfers are signed with {name} ({algorithm}){'' if changed else ', as before'}"


def main(*arguments: str) -> int:
    """Try until it is done, or will not be."""
    end = time.monotonic() + float(os.environ.get("SECONDS", "120"))
    told = ""
    while True:
        try:
            print(attempt(*arguments), flush=True)
        except RefusedError as error:
            print(f"refused: {error}", flush=True)
            return 1
        except NotYetError as error:
            if str(error) != told:
                print(f"not yet: {error}", flush=True)
            told = str(error)
        else:
            return 0
        if time.monotonic() > end:
            print("gave up", flush=True)
            return 1
        time.sleep(2)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
