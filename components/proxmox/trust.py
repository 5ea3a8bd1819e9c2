"""Whose certificate is accepted for Proxmox: by this program, and by Pulumi's Proxmox plugin.

Owns the TLS settings of this program's own requests, and the check that the plugin, a process of its own, would accept
the same certificate. A stock Proxmox has a certificate of an authority of its own, which no machine trusts by itself.

The plugin has no setting for an authority (terraform-provider-proxmox v0.111.1, proxmox/api/client.go: a `tls.Config`
without RootCAs). As any Go program it takes the authorities of its machine, and on Linux more of them from the
variables SSL_CERT_FILE and SSL_CERT_DIR (https://pkg.go.dev/crypto/x509#SystemCertPool). The engine starts plugin and
program with the same environment, so the program can tell before the plugin has made its first request.
At run time this needs only the standard library.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ROOT_CA = "/etc/pve/pve-root-ca.pem"
"""Where each host of a site has the certificate of the site's authority."""

DISTRUSTED = "failed to verify certificate"
"""How Go words that a certificate is not accepted."""

_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_DIRECTORIES = ("/etc/ssl/certs", "/etc/pki/tls/certs")
"""Where Go looks on Linux: the first of the files, and all files in the directories (crypto/x509/root_linux.go)."""

_OTHER_NAME = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""

_TIMEOUT = 20
"""Seconds."""


@functools.cache
def tls_context(insecure: bool, ca: str | None) -> ssl.SSLContext:
    """How this program checks a certificate: not at all, by the authorities in `ca` (PEM), or by the machine's.

    One for all connections: loading every authority of the machine takes tens of milliseconds.
    """
    if not insecure:
        return _lenient(ssl.create_default_context(cadata=ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def explain(endpoint: str, error: ssl.SSLCertVerificationError, ca: str | None) -> str:
    """What is wrong with the certificate at `endpoint`, and the remedy."""
    if error.verify_code in _OTHER_NAME:
        remedy = "write homelab:site.endpoint with an address or a name that is in the certificate"
    elif ca is None:
        remedy = f"if it is the one that Proxmox made itself, set homelab:site.ca to the content of {ROOT_CA} on a host"
    else:
        remedy = f"homelab:site.ca is not the authority that signed it; set it to the content of {ROOT_CA} on a host"
    return f"the certificate of Proxmox at {endpoint} is not accepted ({error.verify_message}); {remedy}"


def plugin_remedy(endpoint: str) -> str:
    """How to make Pulumi's Proxmox plugin accept the certificate at `endpoint`."""
    return (
        f"Pulumi's Proxmox plugin does not accept the certificate of Proxmox at {endpoint}. It cannot be given "
        "homelab:site.ca: it accepts the authorities that this machine trusts. Add that one to them; or, on Linux, put "
        "it into a directory and name that in the environment of every pulumi command: "
        "export SSL_CERT_DIR=/etc/ssl/certs:/etc/pki/tls/certs:<directory>"
    )


def accepted_by_plugin(endpoint: str, environment: Mapping[str, str]) -> bool:
    """Whether the plugin accepts the certificate at `endpoint`, when it runs with `environment`.

    Elsewhere than on Linux nobody but the plugin itself can tell, so the answer is True.
    """
    if sys.platform != "linux":
        return True
    try:
        with urllib.request.urlopen(endpoint, timeout=_TIMEOUT, context=_of_plugin(environment)):
            return True
    except urllib.error.URLError as error:
        return not isinstance(error.reason, ssl.SSLCertVerificationError)
    except OSError:
        return True  # What it is does not concern certificates; whoever asks next, meets and names it.


def _of_plugin(environment: Mapping[str, str]) -> ssl.SSLContext:
    context = _lenient(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    file, directories = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    bundle = next((path for path in map(Path, [file] if file else _FILES) if path.is_file()), None)
    files = [bundle] if bundle else []
    for directory in map(Path, directories.split(":") if directories else _DIRECTORIES):
        with contextlib.suppress(OSError):
            files += sorted(path for path in directory.iterdir() if not _leads_to_a_neighbour(path))
    for path in files:
        with contextlib.suppress(OSError, ssl.SSLError):
            context.load_verify_locations(cafile=path)
    return context


def _leads_to_a_neighbour(path: Path) -> bool:
    return path.is_symlink() and len(path.readlink().parts) == 1


def _lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    # Python checks strictly from 3.13 on, and would refuse every authority that Proxmox made before pve-cluster 9.1.2,
    # for lack of a key usage (https://bugzilla.proxmox.com/show_bug.cgi?id=6701). Go and curl do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
