"""What Talos has put into Kubernetes at the bootstrap (CoreDNS, its roles), brought up to date after an upgrade.

Talos makes such an object once and never changes it again: one that is in its inventory, or merely exists, is left as
it is (`apply` in https://github.com/siderolabs/talos/blob/v1.13.9/internal/app/machined/pkg/controllers/k8s/manifest_apply.go),
and `talosctl upgrade-k8s` is what raises it (`syncManifestsSSA` in `talos_managed.go` beside the static pods'). Objects
that are missing are made by Talos itself; those that a release no longer has stay.

Owns the fields that Talos's field manager has. A field that another manager has taken since, such as a Corefile that
somebody applied, is theirs: the object is named in a warning and left alone.
"""

from __future__ import annotations

import re
from typing import Any

import pulumi

from components.talos.api import TalosNode
from components.talos.kubernetes_api import KubernetesApi, KubernetesError
from components.talos.releases import minor_version
from components.talos.waiting import until

MANAGER = "talos"
"""Talos's field manager, in Talos 1.12 (which creates) and 1.13 (which applies)."""

_INVENTORY_KEY, _INVENTORY = "config.k8s.io/owning-inventory", "talos-bootstrap-manifests-inventory"
_INVENTORY_SINCE = (1, 13)
_CONFLICT = 409
_MANAGERS = re.compile(r'conflict with "([^"]+)"')


async def synchronize(node: TalosNode, api: KubernetesApi, timeout: float) -> None:
    """Applies the manifests that a control plane's Talos wants to what exists of them, and waits for their pods.

    timeout: seconds for each Deployment and DaemonSet that changed; one that was not available before is not awaited,
    as in a cluster that has no pod network yet.

    Raises:
        TalosError: if the API refuses one, or its pods do not become available.
    """
    inventory = minor_version(await node.version()) >= _INVENTORY_SINCE
    for manifest in await node.bootstrap_manifests():
        path = await api.path(manifest)
        before = await api.get(path)
        if before is None:
            continue
        if inventory:
            # As Talos applies it: without the annotation, the same manager would give it up.
            annotations = manifest["metadata"].get("annotations") or {}
            manifest["metadata"]["annotations"] = annotations | {_INVENTORY_KEY: _INVENTORY}
        after = await _applied(api, manifest, path)
        if after is None or after["metadata"].get("generation") == before["metadata"].get("generation"):
            continue
        pulumi.log.info(f"{_name(manifest)}: brought up to date with Talos")
        if _is_available(before):
            await _rolled_out(api, path, _name(manifest), timeout)


async def _applied(api: KubernetesApi, manifest: dict[str, Any], path: str) -> dict[str, Any] | None:
    try:
        return await api.apply(manifest, manager=MANAGER, force=False)
    except KubernetesError as refusal:
        if refusal.answer.status != _CONFLICT:
            raise
        causes = [str(cause.get("message")) for cause in refusal.answer.causes]
        others = {name for cause in causes for name in _MANAGERS.findall(cause)} - {MANAGER}
        if others:
            pulumi.log.warn(
                f"{_name(manifest)} stays as it is, as {', '.join(sorted(others))} has changed what Talos would: "
                f"compare it with `talosctl get manifests`, and see who has what with "
                f"kubectl get --raw {path}"
            )
            return None
    # Talos 1.12 wrote the object under the same name with another operation, which counts as another manager.
    return await api.apply(manifest, manager=MANAGER, force=True)


async def _rolled_out(api: KubernetesApi, path: str, name: str, timeout: float) -> None:
    async def probe() -> str | None:
        found = await api.get(path)
        if found is None:
            return "it is gone"
        status = found["status"]
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return "no controller has seen it"
        wanted = found["spec"].get("replicas", status.get("desiredNumberScheduled", 0))
        updated = status.get("updatedReplicas", status.get("updatedNumberScheduled", 0))
        if updated < wanted:
            return f"{updated} of {wanted} pods are new"
        return None if _is_available(found) else "its pods are not available"

    await until(f"{name} to run what Talos brings", probe, timeout, "look at its pods: kubectl -n kube-system get pods")


def _is_available(found: dict[str, Any]) -> bool:
    status = found.get("status") or {}
    return int(status.get("availableReplicas", status.get("numberAvailable", 0)) or 0) > 0


def _name(manifest: dict[str, Any]) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"
