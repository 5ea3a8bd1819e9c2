"""What every application gets without saying so: the patches of the root Kustomization.

Owns no resource. The root Kustomization applies these to each Kustomization in its folder, and through each of those
to the Helm releases and repositories in it. A patch replaces what a file says, in lists as a whole, so a Kustomization
carries none of these fields itself, or the label that takes it out.
Must exist before: nothing.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

KUSTOMIZE_API: Final = "kustomize.toolkit.fluxcd.io/v1"
HELM_API: Final = "helm.toolkit.fluxcd.io/v2"
SOURCE_API: Final = "source.toolkit.fluxcd.io/v1"

SETTINGS: Final = "cluster-settings"
"""The ConfigMap whose keys are the variables of every application."""

WITHOUT_VARIABLES: Final = "kustomize.toolkit.fluxcd.io/substitute"
"""Label of a Kustomization that, with the value `disabled`, gets no variables: its files have their own `${...}`."""

WITHOUT_DEFAULTS: Final = "homelab/defaults"
"""Label of a Kustomization that, with the value `disabled`, gets none of the other defaults."""

RELEASE_MINUTES: Final = 15
"""How long a Helm release may take."""

KUSTOMIZATION_MINUTES: Final = 20
"""How long a Kustomization waits for what it applies: longer than for a release in it, which would else be the one to
be given up, without a reason."""


def patches(chart_mirror: str | None) -> list[dict[str, Any]]:
    """The `spec.patches` of the root Kustomization.

    chart_mirror: the URL of one Helm repository that replaces that of every HelmRepository.
    """
    inner = [_patch("HelmRelease", HELM_API, _RELEASE)]
    if chart_mirror is not None:
        kind = "oci" if chart_mirror.startswith("oci://") else "default"
        inner.append(_patch("HelmRepository", SOURCE_API, {"url": chart_mirror, "type": kind}))
    return [
        _patch("Kustomization", KUSTOMIZE_API, _KUSTOMIZATION | {"patches": inner}, unless=WITHOUT_DEFAULTS),
        _patch(
            "Kustomization",
            KUSTOMIZE_API,
            {"postBuild": {"substituteFrom": [{"kind": "ConfigMap", "name": SETTINGS}]}},
            unless=WITHOUT_VARIABLES,
        ),
    ]


_KUSTOMIZATION: Final[dict[str, Any]] = {
    "interval": "1h",
    "retryInterval": "1m",
    "timeout": f"{KUSTOMIZATION_MINUTES}m",
    "prune": True,
}

_RELEASE: Final[dict[str, Any]] = {
    "interval": "1h",
    "timeout": f"{RELEASE_MINUTES}m",
    # Helm itself would install definitions once and never change them.
    "install": {"crds": "CreateReplace", "strategy": {"name": "RetryOnFailure"}},
    "upgrade": {
        "crds": "CreateReplace",
        "cleanupOnFail": True,
        "strategy": {"name": "RemediateOnFailure"},
        "remediation": {"retries": 2, "remediateLastFailure": True},
    },
    "rollback": {"cleanupOnFail": True},
}
"""Fields: helm.toolkit.fluxcd.io_helmreleases.yaml, of Flux 2.9."""


def _patch(kind: str, api: str, spec: dict[str, Any], *, unless: str | None = None) -> dict[str, Any]:
    """A patch of every object of a kind; `unless`: a label that, with the value `disabled`, takes an object out."""
    # An object without the label is meant too: Kubernetes reads `!=` so.
    target = {"kind": kind} | ({"labelSelector": f"{unless}!=disabled"} if unless else {})
    text = {"apiVersion": api, "kind": kind, "metadata": {"name": "any"}, "spec": spec}
    return {"target": target, "patch": yaml.safe_dump(text, sort_keys=False)}
