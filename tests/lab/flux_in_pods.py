"""Flux's source and kustomize controllers in real pods, as its operator installs them for the program's FluxInstance.

The operator itself does not run here; its module has the manifests of each release. What it changes of them was read in
its source (internal/builder/templates.go): namespace, registry, and the patches of the instance.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from components.gitops.flux import NAMESPACE
from components.kit.safe_yaml import LOADER
from components.kit.versions import FLUX, FLUX_OPERATOR
from lab import flux
from lab.programs import REAL_CONTROLLERS
from tests.lab.pods_cluster import PodsCluster
from tests.servers import names
from tests.servers.manifests import manifests

IMAGES = REAL_CONTROLLERS

Manifest = dict[str, Any]


def bring_up(cluster: PodsCluster, directory: Path) -> None:
    """Make both controllers with what they need; does not wait for them."""
    file = directory / "flux.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": json.loads(flux.objects().read_text())}))
    cluster.apply(*(item for item in manifests(names.graph(), "Namespace") if item["metadata"]["name"] == NAMESPACE))
    cluster.define(file)
    policies = manifests(names.graph(), "NetworkPolicy")
    cluster.apply(*(item for item in policies if item["metadata"]["namespace"] == NAMESPACE))
    cluster.apply(*(deployment(name) for name in REAL_CONTROLLERS))


def deployment(name: str) -> Manifest:
    """A controller's Deployment."""
    release = flux.source(FLUX_OPERATOR.version) / "config" / "data" / "flux" / f"v{FLUX}" / f"{name}.yaml"
    [made] = [item for item in yaml.load_all(release.read_text(), LOADER) if item and item["kind"] == "Deployment"]
    [instance] = manifests(names.graph(), "FluxInstance")
    made["metadata"]["namespace"] = NAMESPACE
    [container] = made["spec"]["template"]["spec"]["containers"]
    registry = instance["spec"]["distribution"]["registry"]
    container["image"] = f"{registry}/{container['image'].removeprefix('fluxcd/')}"
    container["args"] = [*container["args"], *_added(instance, name)]
    return dict(made)


def _added(instance: Manifest, name: str) -> list[str]:
    """The arguments that the instance's patches add, which do nothing else."""
    steps = [
        step
        for patch in instance["spec"]["kustomize"]["patches"]
        if patch["target"]["name"] == name
        for step in yaml.safe_load(patch["patch"])
    ]
    assert {(step["op"], step["path"]) for step in steps} <= {("add", "/spec/template/spec/containers/0/args/-")}
    return [step["value"] for step in steps]
