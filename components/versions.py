"""The versions this program pins itself, in one place.

Talos and Kubernetes are not here: they belong to a site and are settings (`homelab:versions`). A chart's version is
part of the program, because its values in `charts/values/` are written for exactly that version.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ChartPin:
    """A Helm chart at one version, as its publisher serves it.

    `repository` is an https:// Helm repository or an oci:// registry path without the chart's name.
    """

    name: str
    version: str
    repository: str


# renovate: datasource=helm depName=cilium registryUrl=https://helm.cilium.io
CILIUM = ChartPin("cilium", "1.20.0", "https://helm.cilium.io")
