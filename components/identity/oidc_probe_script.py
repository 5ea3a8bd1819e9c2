"""Waits until a provider answers for each of its issuers; runs in a Job, with the standard library alone.

Arguments: the URL at which the provider is asked, or `-` for that of the issuer itself; then issuers. For each it reads
the provider's description of itself and the keys that it names, and is content when the description is of that issuer
and tokens are signed with a key of the set. Ends with 1 when SECONDS (environment, default 840) have passed.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from urllib.parse import urlsplit, urlunsplit


def fetch(url: str, address: str) -> dict[str, object]:
    """The JSON at `url`, asked for at `address` as the ingress would ask for it."""
    asked = urlsplit(url)
    headers = {}
    if address != "-":
        headers = {"Host": asked.netloc, "X-Forwarded-Proto": asked.scheme, "X-Forwarded-Host": asked.netloc}
        url = urlunsplit((*urlsplit(address)[:2], *asked[2:]))
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        content: dict[str, object] = json.load(answer)
        return content


def wrong(issuer: str, address: str) -> str | None:
    """What is not yet as it should be for an issuer."""
    try:
        description = fetch(f"{issuer}.well-known/openid-configuration", address)
        if description.get("issuer") != issuer:
            return f"says it is {description.get('issuer')!r}"
        keys = fetch(str(description["jwks_uri"]), address).get("keys")
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return None if keys else "has no key, so its tokens are signed with the client's secret"


def main(address: str, *issuers: str) -> int:
    """Ask until all are right."""
    end = time.monotonic() + float(os.environ.get("SECONDS", "840"))
    told: dict[str, str] = {}
    while True:
        found = {issuer: text for issuer in issuers if (text := wrong(issuer, address))}
        for issuer, text in found.items():
            if told.get(issuer) != text:
                print(f"{issuer}: {text}", flush=True)
        told = found
        if not found:
            print(f"all answer: {', '.join(issuers)}", flush=True)
            return 0
        if time.monotonic() > end:
            return 1
        time.sleep(5)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
