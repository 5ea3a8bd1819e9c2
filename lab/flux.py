"""What the Flux operator installs: Flux's own objects, from the operator's source, whose module is served.

Owns the choice among them and its copy in the cache. The controllers' Deployments are left out: the lab runs the
controllers as processes (`talos/internal/kubernetes/flux.go`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

from components.gitops.flux import NAMESPACE
from components.kit.safe_yaml import LOADER
from components.kit.versions import FLUX, FLUX_OPERATOR
from lab.errors import LabError
from lab.golang import cache, source_of
from lab.session import write_private

MODULE: Final = "github.com/controlplaneio-fluxcd/flux-operator"

CHECKSUMS: Final = {"0.58.1": "h1:ME/p3jGf5h9bNmQ5dhQBSjvj0G+7NTI1k3At+pCscis="}
"""What the module is, by its version: as Go writes it in a go.sum. Its own go.mod asks for a newer Go than is needed to
read the files in it, so no go.mod of the lab requires it."""

PARTS: Final = ("rbac", "source-controller", "kustomize-controller", "helm-controller", "notification-controller")
"""Files of a release in the operator's source."""

KINDS: Final = ("CustomResourceDefinition", "ServiceAccount", "Service", "ClusterRole", "ClusterRoleBinding")
"""What is installed of them."""


def objects() -> Path:
    """The path of a JSON array of what the operator would install for the release that the program names.

    Raises:
        LabError: if the operator's source cannot be had, is not what it was, or does not know that release.
    """
    version = FLUX_OPERATOR.version
    path = cache() / f"flux-{FLUX}-{version}.json"
    if not path.is_file():
        release = source(version) / "config" / "data" / "flux" / f"v{FLUX}"
        if not release.is_dir():
            raise LabError(f"the Flux operator {version} knows no Flux {FLUX}: choose one that it has, in {release}")
        found = [one for part in PARTS for one in yaml.load_all((release / f"{part}.yaml").read_text(), LOADER)]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, json.dumps([_installed(one) for one in found if one and one["kind"] in KINDS]))
    return path


def _installed(one: dict[str, Any]) -> dict[str, Any]:
    """An object as the operator's Kustomization changes it: internal/builder/templates.go."""
    kind = one["kind"]
    if kind in ("ServiceAccount", "Service"):
        one["metadata"]["namespace"] = NAMESPACE
    elif kind.startswith("ClusterRole"):
        one["metadata"]["name"] += f"-{NAMESPACE}"
        reference = one.get("roleRef")
        if reference and reference["name"] == "crd-controller":
            reference["name"] += f"-{NAMESPACE}"
    return one


def source(version: str) -> Path:
    """The directory of the operator's source."""
    return source_of(MODULE, version, CHECKSUMS.get(version, ""))
