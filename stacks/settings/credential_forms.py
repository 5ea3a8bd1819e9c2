"""Whether each credential has the form of what its key asks for.

Owns those forms, so that a token of the wrong kind is refused before anything is created, and not after the first VMs.
Does not own which credentials are set (`credentials`), nor whether a server accepts them. No finding shows a value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

from stacks.settings.credentials import PREFIX
from stacks.settings.model import Settings

_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_TOKEN = re.compile(rf"[^\s@!]+@[A-Za-z][A-Za-z0-9._-]*![A-Za-z][A-Za-z0-9._-]+={_UUID}")


def findings(values: Mapping[str, str], settings: Settings) -> Iterator[str]:
    """One line for each credential, by its key without the prefix, that cannot be what the key asks for."""
    forms: dict[str, Callable[[str, Settings], str | None]] = {
        "proxmoxPassword": _password,
        "proxmoxApiToken": _token,
        "tailscaleAuthKey": _auth_key,
        "sealingKey": _sealing_key,
        "edgeSshKey": _ssh_key,
        "edgeTsigKey": _tsig_key,
        "gitDeployKey": _ssh_key,
        "gitPushKey": _ssh_key,
    }
    for key, value in values.items():
        if not value.strip():
            wrong: str | None = "is empty"
        elif "\n" not in value.strip() and value != value.strip():
            wrong = "begins or ends with a space or a line break, which is probably not a part of it"
        else:
            wrong = forms[key](value, settings)
        if wrong:
            yield f"{PREFIX}{key}: {wrong}; set it with `pulumi config set --secret {PREFIX}{key}`"


def _password(value: str, _: Settings) -> str | None:
    return "is an API token, which belongs under proxmoxApiToken" if _TOKEN.fullmatch(value) else None


def _token(value: str, _: Settings) -> str | None:
    if _TOKEN.fullmatch(value):
        return None
    return "is not an API token of Proxmox, which has the form user@realm!name=uuid"


def _auth_key(value: str, settings: Settings) -> str | None:
    if value.startswith("tskey-api-"):
        return "is an API access token of Tailscale, with which no node can join; create an auth key"
    if re.search(r"\s", value):
        return "contains a space or a line break, so it is not an auth key"
    own = settings.tailscale.login_server is not None
    # A client secret of an OAuth client joins nodes, too: https://tailscale.com/kb/1215/oauth-clients.
    if not own and not value.startswith(("tskey-auth-", "tskey-client-")):
        return "is not an auth key of Tailscale, which begins with tskey-auth-"
    return None


def _sealing_key(value: str, settings: Settings) -> str | None:
    try:
        key = load_pem_private_key(value.encode(), None)
    except TypeError:
        return "is protected by a passphrase, which the controller cannot ask for"
    except (ValueError, UnsupportedAlgorithm):
        return "is not a private key in PEM"
    if not isinstance(key, RSAPrivateKey):
        return "is not an RSA key, the only kind that SealedSecrets supports"
    certificate = settings.sealing.certificate
    if certificate and x509.load_pem_x509_certificate(certificate.encode()).public_key() != key.public_key():
        return "does not belong to sealing.certificate, so nothing that is sealed for that could be opened"
    return None


def _ssh_key(value: str, _: Settings) -> str | None:
    if re.match(r"(ssh|ecdsa|sk)-\S+ ", value):
        return "is a public key; the private one is in the file without .pub"
    if _is_protected(value):
        return "is protected by a passphrase, which nobody could type; `ssh-keygen -p` removes it"
    for load in (load_ssh_private_key, load_pem_private_key):
        with suppress(ValueError, UnsupportedAlgorithm):
            load(value.encode(), None)
            return None
    return "is not a private SSH key in OpenSSH's format or PEM"


def _is_protected(value: str) -> bool:
    """Whether a private key in PEM or in OpenSSH's format needs a passphrase.

    OpenSSH's begins with the name of its cipher: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key.
    """
    if "ENCRYPTED" in value:
        return True
    found = re.search(r"-----BEGIN OPENSSH PRIVATE KEY-----(.*)-----END", value, re.DOTALL)
    with suppress(binascii.Error):
        return found is not None and not base64.b64decode(found[1]).startswith(b"openssh-key-v1\0\0\0\0\x04none")
    return False


def _tsig_key(value: str, _: Settings) -> str | None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return "is not Base64, in which TSIG keys are written (`openssl rand -base64 32` makes one)"
    return None
