"""A chart's files from where a Release would take it: a local chart, a Helm repository or an OCI registry.

Owns no resource and keeps nothing. Only the command in `definitions_command.py` downloads, never a preview. A download
is checked against the digest that its repository or registry gives. Proxies are taken from the environment, as Helm
does; credentials for a registry from where `helm registry login` puts them. Needs only the standard library and PyYAML.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.kit import safe_yaml
from components.kit.command_plan import CommandPlan
from components.kit.offline_chart import files

TIMEOUT = 60
"""Seconds without an answer after which a server counts as gone."""

_LIMIT = 64 * 2**20
"""Bytes of one answer; the largest index of a repository in use has 5 MB."""

_CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class ChartUnavailableError(Exception):
    """A chart cannot be had; the message says from where and why."""


class _LoginRequiredError(ChartUnavailableError):
    """Status 401; the answer's header says how to log in."""

    def __init__(self, url: str, challenge: str) -> None:
        self.challenge = challenge
        host = urllib.parse.urlsplit(url).netloc
        super().__init__(f"{url} asks for a login; give one with: helm registry login {host}")


@dataclass(frozen=True, kw_only=True)
class ChartPlace(CommandPlan):
    """Where a chart is, in the words of a Release.

    chart: a path, an oci:// reference without version, or a name in `repository`.
    version: None for a local chart. repository: URL of a Helm repository.
    description: name and version, with a digest where the chart is local.
    """

    chart: str
    description: str
    version: str | None = None
    repository: str | None = None

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Names, from the chart's own directory, and contents of its files. Raises ChartUnavailableError."""
        if self.version is None:
            path = Path(self.chart)
            for name, content in files(path):
                yield name if path.is_dir() else name.partition("/")[2], content
            return
        if self.repository is None:
            archive = _from_registry(self.chart, self.version)
        else:
            archive = _from_repository(self.repository, self.chart, self.version)
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            for member in packed.getmembers():
                if member.isfile() and (file := packed.extractfile(member)):
                    yield member.name.partition("/")[2], file.read()


def _from_repository(repository: str, name: str, version: str) -> bytes:
    base = repository.rstrip("/") + "/"
    index = safe_yaml.load(_get(f"{base}index.yaml"))
    for entry in index["entries"].get(name, []):
        if str(entry["version"]).removeprefix("v") == version.removeprefix("v"):
            url = urllib.parse.urljoin(base, entry["urls"][0])
            return _checked(_get(url), str(entry.get("digest") or ""), url)
    raise ChartUnavailableError(f"{base}index.yaml has no {name} {version}")


def _from_registry(reference: str, version: str) -> bytes:
    """By the OCI distribution specification, as Helm names things in it: a tag has `_` for a version's `+`."""
    host, _, name = reference.removeprefix("oci://").partition("/")
    base = f"https://{host}/v2/{name}"
    url = f"{base}/manifests/{version.replace('+', '_')}"
    headers = {"Accept": _MANIFEST}
    try:
        manifest = _get(url, headers)
    except _LoginRequiredError as required:
        headers["Authorization"] = _authorization(host, required)
        manifest = _get(url, headers)
    layers = [layer for layer in json.loads(manifest)["layers"] if layer["mediaType"] == _CHART_LAYER]
    if len(layers) != 1:
        raise ChartUnavailableError(f"{url} is no Helm chart")
    digest = str(layers[0]["digest"])
    return _checked(_get(f"{base}/blobs/{digest}", headers), digest, url)


def _authorization(host: str, required: _LoginRequiredError) -> str:
    """What a registry asks for: the user's own credentials, or a token that its token service gives for them."""
    basic = _credentials(host)
    asked = dict(re.findall(r'(\w+)="([^"]*)"', required.challenge))
    if not required.challenge.lower().startswith("bearer") or "realm" not in asked:
        if basic is None:
            raise required
        return basic
    realm = asked.pop("realm")
    try:
        answer = json.loads(_get(f"{realm}?{urllib.parse.urlencode(asked)}", {"Authorization": basic} if basic else {}))
    except _LoginRequiredError:
        raise required from None
    return f"Bearer {answer.get('token') or answer['access_token']}"


def _credentials(host: str) -> str | None:
    home = Path.home()
    default = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "helm" / "registry" / "config.json"
    for path in (Path(os.environ.get("HELM_REGISTRY_CONFIG") or default), home / ".docker" / "config.json"):
        if path.is_file():
            entry: dict[str, Any] = json.loads(path.read_text()).get("auths", {}).get(host, {})
            if entry.get("auth"):
                return f"Basic {entry['auth']}"
            if entry.get("username"):
                pair = f"{entry['username']}:{entry.get('password', '')}"
                return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return None


def _get(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The body of an answer. Raises ChartUnavailableError."""
    request = urllib.request.Request(url)
    for name, value in (headers or {}).items():
        # A registry redirects to a storage of another host, which must not see the token.
        request.add_unredirected_header(name, value)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read(_LIMIT + 1)
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise _LoginRequiredError(url, error.headers.get("WWW-Authenticate", "")) from None
        raise ChartUnavailableError(f"{url}: {error}") from None
    except OSError as error:
        raise ChartUnavailableError(f"{url}: {error}") from None
    if len(body) > _LIMIT:
        raise ChartUnavailableError(f"{url} is larger than {_LIMIT // 2**20} MiB")
    return body


def _checked(content: bytes, digest: str, url: str) -> bytes:
    """The content, if it is what its digest says; a repository's index may have none."""
    wanted = digest.removeprefix("sha256:")
    if wanted and hashlib.sha256(content).hexdigest() != wanted:
        raise ChartUnavailableError(f"{url} has not the digest that its repository gives: sha256:{wanted}")
    return content
