"""A real Kubernetes API for one test: etcd and kube-apiserver on free loopback ports, ready in a few seconds.

Authentication is by token (`admin_token`, or `token` for a service account) and authorisation by RBAC, so that a
program under test has only the rights that its service account was given. There is no controller-manager: nothing
makes service accounts, nothing collects garbage, no pod runs. Admission webhooks are off, as no pod could answer them.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.talos.config import ETCD_METRICS_PORT
from lab.programs import ensure
from tests.servers.processes import eventually, free_ports, server

ISSUER = "https://kubernetes.default.svc"
"""Issuer of service account tokens, and the audience of one for which none is asked."""


LOOPBACK = "127.0.0.1"
FRONT_PROXY = "front-proxy-client"


class ApiError(AssertionError):
    """The API server answered with an error; `status` is the HTTP status, `content` what came with it."""

    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        self.status = status
        self.content: dict[str, Any] = json.loads(message) if message.startswith("{") else {"message": message}
        super().__init__(f"{method} {path}: {status} {message}")


@dataclass(frozen=True)
class KubernetesApi:
    """A running API server."""

    port: int
    ca: Path
    """Certificate of the authority that signed the server's."""
    kubeconfig: Path
    """With which kubectl and other clients are administrator."""
    admin_token: str
    address: str = LOOPBACK

    @property
    def url(self) -> str:
        """Such as https://127.0.0.1:40001."""
        return f"https://{self.address}:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, kind: str = "application/json"
    ) -> Any:
        """Send one request, as administrator unless another token is given; `kind` is the body's media type.

        Raises:
            ApiError: with the status and the server's message.
        """
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.admin_token}", "Content-Type": kind},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca))),
        )
        try:
            with opener.open(request, timeout=10) as response:
                content = response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                content = error.read().decode(errors="replace")
            raise ApiError(method, path, error.code, content) from None
        return json.loads(content) if content.startswith("{") else content

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Any:
        """One object."""
        return self.request("GET", f"{self._collection(api_version, kind, namespace)}/{name}")

    def find(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Any:
        """One object, or None if there is none."""
        try:
            return self.get(api_version, kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Make or change objects one after another, by server-side apply; a CRD's kind is served when it is done."""
        for manifest in manifests:
            metadata = manifest["metadata"]
            collection = self._collection(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"))
            self.request(
                "PATCH",
                f"{collection}/{metadata['name']}?fieldManager=test&force=true",
                manifest,
                kind="application/apply-patch+yaml",
            )
            if manifest["kind"] == "CustomResourceDefinition":
                eventually(functools.partial(self._served, manifest["spec"]), f"served {metadata['name']}")

    def namespace(self, name: str) -> None:
        """Make a namespace."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def token(self, namespace: str, service_account: str, *, audiences: tuple[str, ...] = ()) -> str:
        """A token of one hour for a service account, as a pod of it would have; by the TokenRequest API."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": list(audiences), "expirationSeconds": 3600},
        }
        return str(self.request("POST", path, asked)["status"]["token"])

    def ready(self) -> bool:
        """Whether the server says that it is ready for requests."""
        with contextlib.suppress(OSError, ApiError):
            return bool(self.request("GET", "/readyz") == "ok")
        return False

    def _served(self, crd: Mapping[str, Any]) -> Literal[True] | None:
        """Whether the kind of a CRD's spec can be asked for, in each version that it serves."""
        for version in (one for one in crd["versions"] if one["served"]):
            with contextlib.suppress(ApiError, StopIteration):
                collection = self._collection(f"{crd['group']}/{version['name']}", crd["names"]["kind"], None)
                self.request("GET", collection)
                continue
            return None
        return True

    def _collection(self, api_version: str, kind: str, namespace: str | None) -> str:
        """The path below which objects of a kind lie."""
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        served = self.request("GET", base)["resources"]
        plural = next(item["name"] for item in served if item["kind"] == kind and "/" not in item["name"])
        return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


def with_kubectl(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with kubectl on its PATH; its cache is in HOME."""
    kubectl = ensure(["kubectl"])["kubectl"].path.parent
    return {**environment, "PATH": f"{kubectl}:{environment.get('PATH', os.environ['PATH'])}"}


@contextlib.contextmanager
def kubernetes_api(directory: Path, address: str = LOOPBACK) -> Iterator[KubernetesApi]:
    """An empty cluster's API for the length of the block; everything of it lies in `directory`, which is made.

    address: where the API server listens. At another than the default it is in the Endpoints of the Service
    `kubernetes`, and etcd shows its metrics there, at the port that Talos gives them.
    """
    directory.mkdir(parents=True)
    client_port, peer_port, port = free_ports(3)
    etcd, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    admin_token = secrets.token_urlsafe(32)
    tokens = _written(directory / "tokens.csv", f'{admin_token},admin,admin,"system:masters"\n'.encode())
    api = KubernetesApi(port, directory / "ca.crt", directory / "kubeconfig", admin_token, address)
    _write_certificates(directory, address)
    _write_kubeconfig(api)
    etcd_command = _etcd_command(directory, etcd, peer)
    if address != LOOPBACK:
        etcd_command.append(f"--listen-metrics-urls=http://{address}:{ETCD_METRICS_PORT}")
    api_command = [
        str(ensure(["kube-apiserver"])["kube-apiserver"].path),
        f"--etcd-servers={etcd}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        # A loopback address may not stand in an EndpointSlice.
        *(["--endpoint-reconciler-type=none"] if address == LOOPBACK else []),
        "--service-cluster-ip-range=10.96.0.0/12",
        f"--cert-dir={directory}",
        f"--tls-cert-file={directory / 'server.crt'}",
        f"--tls-private-key-file={directory / 'server.key'}",
        f"--token-auth-file={tokens}",
        f"--client-ca-file={directory / 'ca.crt'}",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={directory / 'service-account.key'}",
        f"--service-account-signing-key-file={directory / 'service-account.key'}",
        # How it makes itself known to API servers that it passes requests on to (APIService).
        f"--proxy-client-cert-file={directory / 'front-proxy.crt'}",
        f"--proxy-client-key-file={directory / 'front-proxy.key'}",
        f"--requestheader-client-ca-file={directory / 'ca.crt'}",
        f"--requestheader-allowed-names={FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--disable-admission-plugins=ValidatingAdmissionWebhook,MutatingAdmissionWebhook",
    ]
    with (
        server("etcd", etcd_command, directory=directory, ready=lambda: _healthy(etcd)),
        server("kube-apiserver", api_command, directory=directory, ready=api.ready),
    ):
        yield api


def _etcd_command(directory: Path, clients: str, peers: str) -> list[str]:
    return [
        str(ensure(["etcd"])["etcd"].path),
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _healthy(etcd: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(f"{etcd}/health", timeout=2) as response:
        return bool(json.load(response)["health"] == "true")
    return False


def _write_certificates(directory: Path, address: str) -> None:
    """An authority, the server's certificate, and the key that signs service account tokens."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("test-ca", authority_key, "test-ca", authority_key)
    served = certificate("kube-apiserver", server_key, "test-ca", authority_key, "kubernetes", address=address)
    _written(directory / "ca.crt", authority.public_bytes(serialization.Encoding.PEM))
    _written(directory / "server.crt", served.public_bytes(serialization.Encoding.PEM))
    _written(directory / "server.key", pem(server_key))
    proxy_key = ec.generate_private_key(ec.SECP256R1())
    proxy = certificate(FRONT_PROXY, proxy_key, "test-ca", authority_key)
    _written(directory / "front-proxy.crt", proxy.public_bytes(serialization.Encoding.PEM))
    _written(directory / "front-proxy.key", pem(proxy_key))
    admin_key = ec.generate_private_key(ec.SECP256R1())
    admin = certificate("admin", admin_key, "test-ca", authority_key, group="system:masters")
    _written(directory / "admin.crt", admin.public_bytes(serialization.Encoding.PEM))
    _written(directory / "admin.key", pem(admin_key))
    _written(directory / "service-account.key", pem(ec.generate_private_key(ec.SECP256R1())))


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *names: str,
    group: str = "",
    address: str = LOOPBACK,
) -> x509.Certificate:
    """A certificate of one day for a server at an address, and for further DNS names; or that of an authority itself.

    group: what Kubernetes takes its bearer for a member of.
    """
    member = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    now = datetime.now(UTC)
    alternatives = [x509.IPAddress(IPv4Address(address)), *(x509.DNSName(name) for name in ("localhost", *names))]
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([*member, x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(authority_key, critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as the programs here read it."""
    # kube-apiserver finds no public key in a PKCS #8 key of this kind.
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write_kubeconfig(api: KubernetesApi) -> None:
    """In the form that Talos gives out: with certificates, and nothing beside the file."""

    def inline(name: str) -> str:
        return base64.b64encode((api.ca.parent / name).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": api.url, "certificate-authority-data": inline("ca.crt")}}],
        "users": [
            {
                "name": "admin",
                "user": {"client-certificate-data": inline("admin.crt"), "client-key-data": inline("admin.key")},
            }
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    _written(api.kubeconfig, yaml.safe_dump(config).encode())


def _written(path: Path, content: bytes) -> Path:
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path
