"""The formats of what names a host: a name or an address, alone, in a URL or with a port.

Owns those formats and their normal forms, for `types`. Does not own who has an address (`address_rules`). Every parser
raises ValueError with a text that states the value, the rule and the remedy.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

_LOOKED_UP = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
"""With the underscore, which no host's name may have, and which resolvers look up all the same."""
_OF_A_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def is_host(text: str) -> bool:
    """Whether `text` is an IPv4 or IPv6 address, without brackets, or a name; one that ends in a number is no name."""
    for address in (IPv4Address, IPv6Address):
        with suppress(AddressValueError):
            address(text)
            return True
    labels = text.removesuffix(".").split(".")
    return not labels[-1].isdecimal() and all(_LOOKED_UP.fullmatch(label) for label in labels)


def is_this_machine(host: str) -> bool:
    """Whether a name means, on every machine, the machine itself: https://www.rfc-editor.org/rfc/rfc6761#section-6.3."""
    return f".{host.rstrip('.').lower()}".endswith(".localhost")


def port(text: str) -> int | None:
    """The number of a TCP port, if `text` is one."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return number if 1 <= number <= 65535 else None


def absolute_url(text: str, schemes: tuple[str, ...], example: str, *, path: bool) -> str:
    """Check an absolute URL, and return it without a trailing slash."""
    if re.search(r"://[^/]*@", text):
        raise ValueError(
            f"names a user, which may be a secret and is not shown; write it without one, such as {example}"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{text!r} is not a URL; write a URL such as {example}") from None
    if parts.scheme not in schemes or not parts.hostname or port == 0 or re.search(r"\s", text):
        raise ValueError(f"{text!r} is not an {' or '.join(schemes)} URL; write a URL such as {example}")
    if not is_host(parts.hostname):
        raise ValueError(f"{text!r} has {parts.hostname}, which is neither a name nor an address; correct the host")
    if parts.query or parts.fragment or (not path and parts.path not in ("", "/")):
        raise ValueError(f"{text!r} contains more than scheme, host and port; write a URL such as {example}")
    return text.rstrip("/")


def proxmox_endpoint(text: str) -> str:
    """The URL of Proxmox VE's API, with a trailing slash."""
    url = absolute_url(text, ("https",), "https://10.0.0.2:8006/", path=False)
    if urlsplit(url).port is None:
        raise ValueError(f"{text!r} has no port; Proxmox VE listens on 8006, write {url}:8006/")
    return f"{url}/"


def factory_url(text: str) -> str:
    """The URL of an Image Factory, without a path."""
    return absolute_url(text, ("https", "http"), "https://factory.talos.dev", path=False)


def login_server_url(text: str) -> str:
    """The URL of a Headscale server, without a path."""
    return absolute_url(text, ("https", "http"), "https://headscale.example.org", path=False)


def mirror_url(text: str) -> str:
    """The URL of a registry's mirror."""
    return absolute_url(text, ("https", "http"), "https://registry.example.org", path=True)


def registry(text: str) -> str:
    """A registry as it begins an image's name, with an optional port, or `*` for all."""
    name, colon, number = text.partition(":")
    named = name == name.lower() and is_host(name) and all(_OF_A_HOST.fullmatch(label) for label in name.split("."))
    if text != "*" and (not named or bool(colon) != bool(port(number))):
        raise ValueError(
            f"{text!r} is not a registry host; write a name with an optional port, such as docker.io, or *"
        )
    return text


def chart_source(text: str) -> str:
    """A directory, or the URL of a repository of charts."""
    if "://" in text:
        return absolute_url(text, ("https", "http", "oci"), "https://charts.example.org", path=True)
    if not text.strip() or text != text.strip():
        raise ValueError(f"{text!r} is neither a directory nor a URL; give one, or omit the key")
    return text


def ssh_host(text: str) -> str:
    """A host as SSH takes it; an IPv6 address in its normal form."""
    with suppress(AddressValueError):
        return str(IPv6Address(text))
    if not is_host(text) or not all(_OF_A_HOST.fullmatch(label) for label in text.split(".")):
        raise ValueError(f"{text!r} is neither a host name nor an address; write it without scheme, port and brackets")
    return text
