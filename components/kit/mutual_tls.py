"""TLS in which both sides show a certificate, as the APIs of Talos and Kubernetes ask for.

Owns no resource. Nothing must exist before.
"""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path


def client_context(authority: bytes, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """For a client with its own certificate, which trusts one authority; all three in PEM.

    The ssl module reads keys only from files, so one exists for a moment.
    """
    context = ssl.create_default_context(cadata=authority.decode())
    with tempfile.TemporaryDirectory() as directory:
        chain = Path(directory) / "client.pem"
        chain.touch(mode=0o600)
        chain.write_bytes(certificate + b"\n" + key)
        context.load_cert_chain(chain)
    return context
