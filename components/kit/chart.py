"""Where a pinned chart comes from, and its values from `charts/values/`.

Owns no resource: it turns a `ChartPin` into the arguments of a `helm.v3.Release`, so that every release is pinned,
awaited and bounded in time in the same way. `charts.mirror` replaces every repository: a directory (for air-gapped
sites and the lab), an oci:// path or the URL of one Helm repository. It never replaces the charts of this repository.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi_kubernetes.helm.v3 import ReleaseArgs, RepositoryOptsArgs

from components.kit.offline_chart import files, without_remote_schemas
from components.kit.versions import ChartPin

CHARTS = Path(__file__).resolve().parents[2] / "charts"

RELEASE_TIMEOUT = 600
"""Seconds that Helm waits for a release's workloads; Helm's own default of 300 is too short for a first image pull."""


class ChartError(ValueError):
    """A chart cannot be found where the settings point."""


@dataclass(frozen=True)
class ChartSource:
    """Where charts come from: their publishers, or a single mirror that replaces them all."""

    mirror: str | None = None

    def release(
        self, pin: ChartPin, *, name: str, namespace: pulumi.Input[str], values: Mapping[str, Any]
    ) -> ReleaseArgs:
        """Arguments of the Release `name` of chart `pin`.

        The description carries a digest of a local chart: the provider does not notice a chart that was edited under
        the same version (measured), but it does notice a changed description.

        Raises ChartError when the mirror is a directory that lacks the chart.
        """
        return _arguments(self._locate(pin), name, namespace, values)

    def _locate(self, pin: ChartPin) -> dict[str, Any]:
        described = f"{pin.name} {pin.version}"
        if self.mirror is None and not pin.repository.startswith("oci://"):
            opts = RepositoryOptsArgs(repo=pin.repository)
            return {"chart": pin.name, "version": pin.version, "repository_opts": opts, "description": described}
        base = self.mirror or pin.repository
        if base.startswith("oci://"):
            return {"chart": f"{base.rstrip('/')}/{pin.name}", "version": pin.version, "description": described}
        if base.startswith(("http://", "https://")):
            opts = RepositoryOptsArgs(repo=base)
            return {"chart": pin.name, "version": pin.version, "repository_opts": opts, "description": described}
        path = in_directory(Path(base).expanduser(), pin)
        chart = str(without_remote_schemas(path))
        return {"chart": chart, "description": f"{described} sha256:{_digest(path)[:16]}"}


def own_release(chart: str, *, name: str, namespace: pulumi.Input[str], values: Mapping[str, Any]) -> ReleaseArgs:
    """Arguments of the Release `name` of `charts/<chart>`, which no mirror replaces.

    The path is relative to the program's directory, where the engine runs program and provider, so that a checkout
    elsewhere changes nothing. For the digest see `ChartSource.release`.
    """
    path = CHARTS / chart
    version = yaml.safe_load((path / "Chart.yaml").read_text())["version"]
    located = {
        "chart": f"./{path.relative_to(CHARTS.parent)}",
        "description": f"{chart} {version} sha256:{_digest(path)[:16]}",
    }
    return _arguments(located, name, namespace, values)


def _arguments(
    located: Mapping[str, Any], name: str, namespace: pulumi.Input[str], values: Mapping[str, Any]
) -> ReleaseArgs:
    return ReleaseArgs(
        name=name, namespace=namespace, values=dict(values), timeout=RELEASE_TIMEOUT, max_history=5, **located
    )


def in_directory(mirror: Path, pin: ChartPin) -> Path:
    """The archive `<name>-<version>.tgz` or the unpacked chart `<name>/` in `mirror`.

    Raises ChartError when neither exists, or the unpacked chart has another version.
    """
    archive, unpacked = mirror / f"{pin.name}-{pin.version}.tgz", mirror / pin.name
    if archive.is_file():
        return archive
    if (unpacked / "Chart.yaml").is_file():
        found = str(yaml.safe_load((unpacked / "Chart.yaml").read_text())["version"])
        if found.removeprefix("v") != pin.version.removeprefix("v"):
            raise ChartError(
                f"homelab:charts.mirror: {unpacked} holds {pin.name} {found}, but its values are written for "
                f"{pin.version}; put {archive.name} into the mirror"
            )
        return unpacked
    oci = pin.repository.startswith("oci://")
    chart = f"{pin.repository}/{pin.name}" if oci else f"{pin.name} --repo {pin.repository}"
    raise ChartError(
        f"homelab:charts.mirror: neither {archive.name} nor {pin.name}/Chart.yaml is in {mirror}; "
        f"fetch it with: helm pull {chart} --version {pin.version} -d {mirror}"
    )


def _digest(chart: Path) -> str:
    """SHA-256 over the names and contents of a chart's files; timestamps do not count."""
    digest = hashlib.sha256()
    for name, content in files(chart):
        digest.update(f"{name}\0".encode() + content)
    return digest.hexdigest()


def values(name: str) -> dict[str, Any]:
    """The values of release `name` from `charts/values/<name>.yaml`."""
    loaded: dict[str, Any] = yaml.safe_load((CHARTS / "values" / f"{name}.yaml").read_text())
    return loaded


def own_values(chart: str) -> dict[str, Any]:
    """The default values of `charts/<chart>`."""
    loaded: dict[str, Any] = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    return loaded
