"""The TLS certificate of the simulated Proxmox VE, and the authority that signed it: both of the stock form.

Owns their files. As a program (`python -m lab.proxmox.tls DIRECTORY HOST`) it makes them before the server runs, for
whoever must know the authority first.

After `gen_pveca_cert` and `gen_pve_ssl_cert` of PVE::Cluster::Setup
(https://github.com/proxmox/pve-cluster/blob/master/src/PVE/Cluster/Setup.pm): the site has an authority of its own,
which no machine trusts. Authorities made before pve-cluster 9.1.2 have no key usage, and node certificates no
identifier of the authority's key, so the strict checks that Python makes by itself from 3.13 on refuse both.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 365
_RENEW_DAYS = 30

NODE, _SEARCH_DOMAIN = "pve1", "lab.test"
"""What the certificate calls the node that serves the API."""

_PARTS = {"CN": NameOID.COMMON_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "O": NameOID.ORGANIZATION_NAME}


def ensure_certificate(directory: Path, host: str) -> tuple[Path, Path, Path]:
    """The files of the authority's certificate, the server's certificate, and its key.

    They are made if missing or about to expire. The authority's own key is thrown away. The server's key is readable by
    its owner only.
    """
    ca, cert, key = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
    if not (ca.exists() and key.exists() and cert.exists() and _fits(cert, host)):
        _make(ca, cert, key, host)
    return ca, cert, key


def _fits(path: Path, host: str) -> bool:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return _name(host) in names and left > datetime.timedelta(days=_RENEW_DAYS)


def _make(ca: Path, cert: Path, key: Path, host: str) -> None:
    # Proxmox's own authority has 4096 bits, which take seconds to make.
    authority_key, server_key = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    issuer = _subject(CN="Proxmox Virtual Environment", OU="lab", O="PVE Cluster Manager CA")
    subject = _subject(OU="PVE Cluster Node", O="Proxmox Virtual Environment", CN=f"{NODE}.{_SEARCH_DOMAIN}")
    names = [_name("127.0.0.1"), _name("::1"), _name("localhost"), _name(host), _name(NODE)]
    now = datetime.datetime.now(datetime.UTC)

    def builder(name: x509.Name, public: rsa.RSAPublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=DAYS))
        )

    public = authority_key.public_key()
    authority = (
        builder(issuer, public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        builder(subject, server_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(dict.fromkeys(names)), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key, private)
    _write(ca, authority.public_bytes(serialization.Encoding.PEM))
    _write(cert, server.public_bytes(serialization.Encoding.PEM))


def _subject(**parts: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(_PARTS[part], text) for part, text in parts.items()])


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    path.chmod(0o600)


def main() -> int:
    """Make the files."""
    directory, host = sys.argv[1:]
    ensure_certificate(Path(directory), host)
    return 0


if __name__ == "__main__":
    sys.exit(main())
