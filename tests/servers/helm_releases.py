"""A cluster with the lab's helm-player at work, and the part of source-controller that tests play for it."""

from __future__ import annotations

import hashlib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from lab.programs import ensure
from tests.checks.helm_charts import pack
from tests.servers.kubernetes import KubernetesApi
from tests.servers.processes import eventually, free_ports, server
from tests.serving import serving

HELM, SOURCE = "helm.toolkit.fluxcd.io/v2", "source.toolkit.fluxcd.io/v1"


def definition(group: str, kind: str, plural: str, version: str = "v1", **schema: Any) -> dict[str, Any]:
    """A CRD with an open schema and a status of its own."""
    open_schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **schema}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": open_schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


class Flux:
    """The cluster, and the part of source-controller that the tests play."""

    def __init__(self, api: KubernetesApi, artifacts: Path, url: str) -> None:
        self.api, self.artifacts, self.url = api, artifacts, url

    def chart(self, namespace: str, name: str, directory: Path, *, digest: str | None = None) -> None:
        """Make the HelmChart of a HelmRelease ready, with the chart in `directory`, once the player asks for it."""
        made = eventually(
            lambda: self.api.find(SOURCE, "HelmChart", f"{namespace}-{name}", namespace), f"HelmChart of {name}"
        )
        file = pack(
            directory, self.artifacts / f"{namespace}-{name}-{made['metadata']['generation']}-{id(directory)}.tgz"
        )
        found = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        status = {
            "observedGeneration": made["metadata"]["generation"],
            "artifact": {
                "url": f"{self.url}/{file.name}",
                "path": file.name,
                "digest": digest or found,
                "revision": yaml.safe_load((directory / "Chart.yaml").read_text())["version"],
                "lastUpdateTime": "2026-01-01T00:00:00Z",
            },
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "ChartPullSucceeded",
                    "message": "pulled",
                    "observedGeneration": made["metadata"]["generation"],
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        }
        self.api.request(
            "PATCH",
            f"/apis/{SOURCE}/namespaces/{namespace}/helmcharts/{namespace}-{name}/status",
            {"status": status},
            kind="application/merge-patch+json",
        )

    def release(self, namespace: str, name: str = "demo", **spec: Any) -> None:
        """Make or change a HelmRelease."""
        chart = {"chart": "demo", "version": "1.2.3", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}
        self.api.apply(
            {
                "apiVersion": HELM,
                "kind": "HelmRelease",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"interval": "1h", "chart": {"spec": chart}, **spec},
            }
        )

    def condition(self, namespace: str, kind: str = "Ready", name: str = "demo") -> dict[str, Any] | None:
        """A condition of a HelmRelease that is about its latest generation."""
        found = self.api.get(HELM, "HelmRelease", name, namespace)
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == kind and one["observedGeneration"] == found["metadata"]["generation"]:
                return dict(one)
        return None

    def awaited(self, namespace: str, status: str, kind: str = "Ready", name: str = "demo") -> dict[str, Any]:
        """That condition, once it has this status."""

        def look() -> dict[str, Any] | None:
            found = self.condition(namespace, kind, name)
            return found if found and found["status"] == status else None

        return eventually(look, f"{kind}={status} of {namespace}/{name}", seconds=60)

    def data(self, namespace: str, name: str = "demo") -> Any:
        """What the release's ConfigMap holds; None if there is none."""
        found = self.api.find("v1", "ConfigMap", name, namespace)
        return found and found["data"]

    def revisions(self, namespace: str) -> int:
        """How many releases Helm remembers."""
        secrets = self.api.request("GET", f"/api/v1/namespaces/{namespace}/secrets")["items"]
        return sum(1 for secret in secrets if secret["type"] == "helm.sh/release.v1")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def playing(kubernetes: KubernetesApi, directory: Path) -> Iterator[Flux]:
    """The player at work for the length of the block, with its definitions in the cluster."""
    artifacts = directory / "artifacts"
    artifacts.mkdir()
    kubernetes.apply(
        definition("helm.toolkit.fluxcd.io", "HelmRelease", "helmreleases", "v2"),
        definition("source.toolkit.fluxcd.io", "HelmChart", "helmcharts"),
        definition("source.toolkit.fluxcd.io", "OCIRepository", "ocirepositories"),
    )
    [port] = free_ports(1)
    command = [
        str(ensure(["helm-player"])["helm-player"].path),
        f"--kubeconfig={kubernetes.kubeconfig}",
        "--requeue-dependency=200ms",
        f"--health-addr=127.0.0.1:{port}",
    ]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(artifacts)))
    with serving(files), server("helm-player", command, directory=directory, ready=answers):
        yield Flux(kubernetes, artifacts, f"http://127.0.0.1:{files.server_address[1]}")
