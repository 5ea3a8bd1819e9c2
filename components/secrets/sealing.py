"""Sealing: turns a Secret into a SealedSecret that only one keypair can decrypt, in process and offline.

Owns the format that the sealed-secrets controller reads, and how keypairs are made and checked. Makes no resource
and contacts no cluster. The format is that of `pkg/crypto` and `pkg/apis/sealedsecrets` at v0.36.6
(https://github.com/bitnami-labs/sealed-secrets): a fresh AES-256 key for each value, encrypted for the certificate's
RSA key with RSA-OAEP and SHA-256, whose label is where the value may be unsealed; then the value in AES-GCM. Errors
never show a value.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

KEY_BITS = 4096
VALID_YEARS = 10
"""The controller's own choice for the keypairs that it makes itself."""

COMMON_NAME = "sealed-secrets"

_LEAST_KEY_BITS = 2048
_SESSION_KEY_BYTES = 32
_NONCE = bytes(12)
"""Zero: each key encrypts one value only."""

_ANNOTATION = "sealedsecrets.bitnami.com"
_MAX_SECRET_BYTES = 1024 * 1024
"""The most that the API server accepts as the data of one Secret."""

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"(?!\.$|\.\.)[-._A-Za-z0-9]{1,253}")


class SealingError(ValueError):
    """The input cannot be sealed, or not for this certificate; the message says which value, why, and what helps."""


class Scope(Enum):
    """Where a sealed value may be unsealed."""

    STRICT = "strict"
    """Under the Secret's own name and namespace only."""
    NAMESPACE_WIDE = "namespace-wide"
    """Under any name in the namespace."""
    CLUSTER_WIDE = "cluster-wide"
    """Anywhere."""

    def label(self, namespace: str, name: str) -> bytes:
        """What a value is bound to: the controller decrypts it with the label of the place where it finds it."""
        labels = {Scope.STRICT: f"{namespace}/{name}", Scope.NAMESPACE_WIDE: namespace, Scope.CLUSTER_WIDE: ""}
        return labels[self].encode()

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations that tell the controller the scope; none for the strict one."""
        return {} if self is Scope.STRICT else {f"{_ANNOTATION}/{self.value}": "true"}


@dataclass(frozen=True, kw_only=True)
class PlainSecret:
    """A Secret before it is sealed.

    data: the values by key. type: as Opaque or kubernetes.io/tls. labels: of the Secret that the controller makes.
    """

    namespace: str
    name: str
    data: Mapping[str, bytes] = field(repr=False)
    type: str = "Opaque"
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise SealingError(
                f"namespace {self.namespace!r}: not a namespace's name; use lower-case letters, digits and hyphens, "
                "63 at most"
            )
        if not _NAME.fullmatch(self.name):
            raise SealingError(
                f"name {self.name!r}: not a Secret's name; use lower-case letters, digits, hyphens and dots, "
                "253 at most"
            )
        if not self.data:
            raise SealingError(f"{self.namespace}/{self.name}: has no values; give at least one key")
        for key in self.data:
            if not _KEY.fullmatch(key):
                raise SealingError(
                    f"key {key!r} of {self.namespace}/{self.name}: not a key; use letters, digits, '-', '_' and '.', "
                    "253 at most"
                )
        size = sum(len(value) for value in self.data.values())
        if size > _MAX_SECRET_BYTES:
            raise SealingError(
                f"{self.namespace}/{self.name}: its values have {size} bytes, and a Secret holds {_MAX_SECRET_BYTES}; "
                "split it"
            )


@dataclass(frozen=True)
class Keypair:
    """A certificate and its private key, both in PEM."""

    certificate_pem: str
    private_key_pem: str = field(repr=False)


def seal(secret: PlainSecret, certificate_pem: str, scope: Scope = Scope.STRICT) -> dict[str, Any]:
    """The SealedSecret manifest of `secret`, which only the holder of the certificate's private key can decrypt.

    Sealing twice gives different manifests: each value has a key of its own.

    Raises:
        SealingError: the certificate is not valid PEM, has no RSA key, or has expired.
    """
    certificate = _certificate(certificate_pem)
    key = _rsa_key(certificate)
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise SealingError(
            f"the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}, and kubeseal would refuse it too; "
            "make a new keypair"
        )
    label = scope.label(secret.namespace, secret.name)
    metadata: dict[str, Any] = {"name": secret.name, "namespace": secret.namespace}
    if scope.annotations:
        metadata["annotations"] = scope.annotations
    template_metadata = metadata | ({"labels": dict(secret.labels)} if secret.labels else {})
    return {
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": metadata,
        "spec": {
            "encryptedData": {
                name: base64.b64encode(encrypt(key, value, label)).decode() for name, value in secret.data.items()
            },
            "template": {"metadata": template_metadata, "type": secret.type},
        },
    }


def encrypt(key: rsa.RSAPublicKey, value: bytes, label: bytes) -> bytes:
    """One value: length of the encrypted AES key (2 bytes, big-endian), the encrypted AES key, the encrypted value."""
    session_key = secrets.token_bytes(_SESSION_KEY_BYTES)
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=label)
    encrypted_key = key.encrypt(session_key, oaep)
    return len(encrypted_key).to_bytes(2, "big") + encrypted_key + AESGCM(session_key).encrypt(_NONCE, value, None)


def certificate_key(certificate_pem: str) -> rsa.RSAPublicKey:
    """The public key of a certificate, if values can be sealed for it.

    Raises:
        SealingError: it is not a PEM certificate, or its key is not RSA or too short.
    """
    return _rsa_key(_certificate(certificate_pem))


def check_keypair(keypair: Keypair) -> None:
    """Check that the private key is the certificate's.

    Raises:
        SealingError: it is not, or one of them cannot be used.
    """
    public = certificate_key(keypair.certificate_pem)
    try:
        private = serialization.load_pem_private_key(keypair.private_key_pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message may show parts of the key.
        raise SealingError(
            "the sealing key is not a private key in PEM without a passphrase; set the right one"
        ) from None
    if private.public_key() != public:
        raise SealingError("the sealing key is not the certificate's; set both from one keypair")


def make_keypair() -> Keypair:
    """A new keypair with a self-signed certificate: RSA with 4096 bits, for ten years from now."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365 * VALID_YEARS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Keypair(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())


def _certificate(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise SealingError(
            "this is not a certificate in PEM; give one that begins with -----BEGIN CERTIFICATE-----"
        ) from None


def _rsa_key(certificate: x509.Certificate) -> rsa.RSAPublicKey:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPublicKey):
        raise SealingError("the certificate holds no RSA key, and sealed-secrets uses no other; make a new keypair")
    if key.key_size < _LEAST_KEY_BITS:
        raise SealingError(
            f"the certificate's RSA key has {key.key_size} bits, and less than {_LEAST_KEY_BITS} are not safe; "
            "make a new keypair"
        )
    return key
