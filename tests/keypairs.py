"""Keypairs for tests of sealing, and the controller's way to open a value, written down a second time."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

from components.secrets.sealing import Keypair


@cache
def keypair(number: int = 0, *, bits: int = 2048, days: int = 1) -> Keypair:
    """The same pair for the same arguments; another `number`, another pair. Valid until `days` from now."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return Keypair(_certificate(key, f"test-{number}", days), _pem(key))


@cache
def elliptic_keypair() -> Keypair:
    """A pair that sealed-secrets cannot use."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Keypair(_certificate(key, "test", 1), _pem(key))


def opened(manifest: dict[str, Any], pair: Keypair, *, label: str) -> dict[str, bytes]:
    """The values of a SealedSecret, opened with a label.

    Raises:
        ValueError: a value was not sealed for this key and label.
    """
    key = serialization.load_pem_private_key(pair.private_key_pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label.encode())
    values = {}
    for name, text in manifest["spec"]["encryptedData"].items():
        sealed = base64.b64decode(text, validate=True)
        end = 2 + int.from_bytes(sealed[:2], "big")
        values[name] = AESGCM(key.decrypt(sealed[2:end], oaep)).decrypt(bytes(12), sealed[end:], None)
    return values


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, common_name: str, days: int) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    until = datetime.now(UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=2))
        .not_valid_after(until)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
