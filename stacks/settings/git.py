"""The scalar types of `homelab:gitops`: what a Git repository, a branch and a folder in it look like.

Owns those formats, as `types` does for all others. Every parser raises ValueError with a text that states the value,
the rule and the remedy.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from components.kit.namespace import SERVICE_DOMAIN
from stacks.settings.hosts import absolute_url
from stacks.settings.types import text_schema

_OVER_SSH = "ssh://git@203.0.113.1/srv/git/homelab.git"
_OVER_HTTPS = "https://git.example.org/homelab.git"
_ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}")


def _url(text: str) -> str:
    """Check the URL of a repository: https, or ssh with an account. A password is refused and not shown."""
    if re.match(r"[^/:]+@[^/:]+:(?!//)", text):
        raise ValueError(f"is written as for scp; write it as a URL, such as {_OVER_SSH}")
    account, rest = "", text
    if text.startswith("ssh://"):
        account, at, server = text.removeprefix("ssh://").partition("@")
        if not at or not _ACCOUNT.fullmatch(account):
            raise ValueError(f"names no plain account before the host; write a URL such as {_OVER_SSH}")
        account, rest = f"{account}@", f"ssh://{server}"
    url = absolute_url(rest, ("https", "http", "ssh"), _OVER_HTTPS, path=True)
    parts = urlsplit(url)
    if parts.path in ("", "/"):
        raise ValueError(f"{text!r} names no repository; write a URL such as {_OVER_HTTPS}")
    if parts.scheme == "http" and not _nobody_between(str(parts.hostname)):
        raise ValueError(
            f"{text!r} is read over plain http, so anybody on the way could deploy to the cluster; write a URL that "
            "begins with https:// or ssh://"
        )
    return url.replace("://", f"://{account}", 1)


def _nobody_between(host: str) -> bool:
    """Whether a name stands for a Service of the cluster, or an address for this machine."""
    with suppress(AddressValueError):
        return IPv4Address(host).is_loopback
    return f".{host}".endswith(f".{SERVICE_DOMAIN}")


def _branch(text: str) -> str:
    if not _BRANCH.fullmatch(text) or ".." in text or text.endswith((".lock", ".", "/")):
        raise ValueError(f"{text!r} is not the name of a branch; write one such as main")
    return text


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or text != f"./{path}":
        raise ValueError(f"{text!r} is not a folder of the repository; write it from the root, such as ./gitops")
    return text


Url = Annotated[str, AfterValidator(_url), text_schema("the https or ssh URL of a Git repository")]
Branch = Annotated[str, AfterValidator(_branch), text_schema("the name of a branch")]
Folder = Annotated[str, AfterValidator(_folder), text_schema("a folder of the repository, such as ./gitops")]
