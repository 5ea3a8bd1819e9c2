"""A chart's files from a Helm repository and from an OCI registry, each played by a server on the loopback."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import ssl
import tarfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from components.kit.chart_archive import ChartPlace, ChartUnavailableError
from lab.programs import ensure
from tests.servers.kubernetes import certificate, pem
from tests.servers.processes import run
from tests.serving import serving

Answer = tuple[int, Mapping[str, str], bytes]
FILES = {"Chart.yaml": b"name: demo\n", "crds/things.yaml": b"kind: CustomResourceDefinition\n"}


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"demo/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = packed(FILES)
CONFIG = b'{"name": "demo", "version": "1.2.3+build.4", "apiVersion": "v2"}'
DIGEST = hashlib.sha256(ARCHIVE).hexdigest()


class Site:
    """Answers by path; keeps what was asked, with the credentials that came along."""

    def __init__(self, answer: Callable[[str, str], Answer], certificate: Path | None = None) -> None:
        self.scheme = "https" if certificate else "http"
        self.asked: list[tuple[str, str]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.do_GET()

            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "")
                site.asked.append((self.path, given))
                status, headers, body = answer(self.path, given)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"


@contextmanager
def site(answer: Callable[[str, str], Answer], certificate: Path | None = None) -> Iterator[Site]:
    running = Site(answer, certificate)
    with serving(running.server):
        yield running


@pytest.fixture(scope="module")
def helm() -> str:
    return str(ensure(["helm"])["helm"].path)


@pytest.fixture(autouse=True)
def only_the_loopback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "XDG_CONFIG_HOME", "HELM_REGISTRY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    # It keeps proxies and authorities of its first use.
    monkeypatch.setattr(urllib.request, "_opener", None)


def repository(digest: str = DIGEST, url: str = "archives/demo-1.2.3.tgz") -> Callable[[str, str], Answer]:
    index = {"entries": {"demo": [{"version": "2.0.0", "urls": ["x"]}, {"version": "1.2.3", "urls": [url]}]}}
    index["entries"]["demo"][1]["digest"] = digest

    def answer(path: str, _given: str) -> Answer:
        pages = {"/charts/index.yaml": yaml.safe_dump(index).encode(), "/charts/archives/demo-1.2.3.tgz": ARCHIVE}
        return (200, {}, pages[path]) if path in pages else (404, {}, b"")

    return answer


def from_repository(url: str, version: str = "1.2.3") -> dict[str, bytes]:
    return dict(ChartPlace(chart="demo", version=version, repository=url, description="demo").files())


def test_a_repositorys_index_says_where_a_version_is() -> None:
    with site(repository()) as served:
        assert from_repository(f"{served.url}/charts") == FILES


def test_a_version_that_a_repository_lacks_is_named() -> None:
    with (
        site(repository()) as served,
        pytest.raises(ChartUnavailableError, match=rf"{served.url}/charts/index.yaml has no demo 1.2.4"),
    ):
        from_repository(f"{served.url}/charts", "1.2.4")


def test_an_archive_that_is_not_the_one_of_the_index_is_refused() -> None:
    with site(repository(digest="0" * 64)) as served, pytest.raises(ChartUnavailableError, match="has not the digest"):
        from_repository(f"{served.url}/charts")


def test_a_repository_that_does_not_answer_is_named() -> None:
    with site(repository()) as served:
        url = served.url
    with pytest.raises(ChartUnavailableError, match=rf"{url}/charts/index.yaml: .*refused"):
        from_repository(f"{url}/charts")


class Registry:
    """By the OCI distribution specification: a token for who asks, a manifest, and a blob at another address."""

    def __init__(self, *, login: str = "") -> None:
        self.login, self.address = login, ""

    def __call__(self, path: str, given: str) -> Answer:
        if path.startswith("/token?"):
            if self.login and given != f"Basic {base64.b64encode(self.login.encode()).decode()}":
                return 401, {}, b""
            return 200, {}, json.dumps({"token": "issued"}).encode()
        if path.startswith("/storage/"):
            return 200, {}, ARCHIVE
        if given != "Bearer issued":
            challenge = f'Bearer realm="{self.address}/token",service="registry",scope="repository:charts/demo:pull"'
            return 401, {"WWW-Authenticate": challenge}, b""
        if path.startswith("/v2/charts/demo/manifests/"):
            kind = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
            layers = [{"mediaType": kind, "digest": f"sha256:{DIGEST}", "size": len(ARCHIVE)}]
            config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "size": len(CONFIG)}
            config["digest"] = f"sha256:{hashlib.sha256(CONFIG).hexdigest()}"
            media = "application/vnd.oci.image.manifest.v1+json"
            manifest = {"schemaVersion": 2, "mediaType": media, "config": config, "layers": layers}
            body = json.dumps(manifest).encode()
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            return 200, {"Content-Type": media, "Docker-Content-Digest": digest}, body
        if path == f"/v2/charts/demo/blobs/sha256:{hashlib.sha256(CONFIG).hexdigest()}":
            return 200, {}, CONFIG
        if path == f"/v2/charts/demo/blobs/sha256:{DIGEST}":
            return 307, {"Location": f"{self.address.replace('127.0.0.1', 'localhost')}/storage/{DIGEST}"}, b""
        return 404, {}, b""


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The certificate, with its key, of a server that this machine trusts."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = certificate("test-ca", authority_key, "test-ca", authority_key)
    served = certificate("registry", key, "test-ca", authority_key)
    (tmp_path / "ca.crt").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "registry.pem").write_bytes(served.public_bytes(serialization.Encoding.PEM) + pem(key))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    return tmp_path / "registry.pem"


@contextmanager
def registry(trusted: Path, *, login: str = "") -> Iterator[Site]:
    answers = Registry(login=login)
    with site(answers, trusted) as served:
        answers.address = served.url
        yield served


def from_registry(served: Site) -> dict[str, bytes]:
    reference = f"oci://{served.host}/charts/demo"
    return dict(ChartPlace(chart=reference, version="1.2.3+build.4", description="demo").files())


def test_a_public_registry_gives_a_token_to_anyone(trusted: Path) -> None:
    with registry(trusted) as served:
        assert from_registry(served) == FILES


def test_the_storage_of_a_registry_does_not_see_the_token(trusted: Path) -> None:
    with registry(trusted) as served:
        from_registry(served)
        assert [given for path, given in served.asked if path.startswith("/storage/")] == [""]


def test_a_private_registry_gets_the_login_that_helm_has_kept(trusted: Path, tmp_path: Path) -> None:
    with registry(trusted, login="reader:word") as served:
        kept = tmp_path / ".config" / "helm" / "registry" / "config.json"
        kept.parent.mkdir(parents=True)
        auth = base64.b64encode(b"reader:word").decode()
        kept.write_text(json.dumps({"auths": {served.host: {"auth": auth}}}))
        assert from_registry(served) == FILES


def test_a_private_registry_without_a_login_says_how_to_give_one(trusted: Path) -> None:
    with (
        registry(trusted, login="reader:word") as served,
        pytest.raises(ChartUnavailableError, match=f"helm registry login {served.host}"),
    ):
        from_registry(served)


def test_the_simulated_registry_is_one_to_helm(helm: str, trusted: Path, tmp_path: Path) -> None:
    with registry(trusted) as served:
        pull = [helm, "pull", f"oci://{served.host}/charts/demo", "--version=1.2.3+build.4"]
        run([*pull, f"--destination={tmp_path}", f"--ca-file={tmp_path / 'ca.crt'}"])
    assert [path.read_bytes() for path in tmp_path.glob("demo-*.tgz")] == [ARCHIVE]


def test_a_local_chart_is_read_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "things.yaml").write_bytes(b"kind: CustomResourceDefinition\n")
    place = ChartPlace(chart=str(tmp_path), description="demo")
    assert dict(place.files()) == {"crds/things.yaml": b"kind: CustomResourceDefinition\n"}


def test_a_local_archive_is_read_like_the_chart_in_it(tmp_path: Path) -> None:
    (tmp_path / "demo-1.2.3.tgz").write_bytes(ARCHIVE)
    place = ChartPlace(chart=str(tmp_path / "demo-1.2.3.tgz"), description="demo")
    assert dict(place.files()) == FILES
