"""The pods that release 1.24 of the operator makes of a Vault resource, as far as admission and placement look at them.

The operator itself is no program that can be had here at that version. What it adds and how it merges the resource's
pod specs into its own was read in its source (pkg/controller/vault/vault_controller.go, tag v1.24.0): containers are
merged by name, lists are appended to, and the server always gets two capabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ADDED = {"capabilities": {"add": ["IPC_LOCK", "SETFCAP"]}}


def server_pod(spec: Mapping[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """The pod of one server."""
    containers = [
        {"name": "vault", "image": spec["image"], "args": ["server"], "securityContext": _ADDED},
        {"name": "bank-vaults", "image": spec["bankVaultsImage"], "command": ["bank-vaults", "unseal", "--init"]},
    ]
    containers = _merged_by_name(containers, spec["vaultPodSpec"].get("containers", []))
    containers[0] = _merged(containers[0], spec["vaultContainerSpec"])
    initial = [{"name": "config-templating", "image": spec["bankVaultsImage"], "command": ["template"]}]
    volume = {"name": "vault-tls", "secret": {"secretName": spec["existingTlsSecretName"]}}
    return _pod(
        spec,
        {"app.kubernetes.io/name": "vault", "vault_cr": name.rpartition("-")[0]},
        name,
        namespace,
        {
            "initContainers": _merged_by_name(initial, spec["vaultPodSpec"].get("initContainers", [])),
            "containers": containers,
            "affinity": spec["affinity"],
            "volumes": [volume, {"name": "vault-config", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}],
        },
    )


def configurer_pod(spec: Mapping[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """The pod that applies the configuration."""
    containers = [{"name": "bank-vaults", "image": spec["bankVaultsImage"], "command": ["bank-vaults", "configure"]}]
    merged = _merged_by_name(containers, spec["vaultConfigurerPodSpec"].get("containers", []))
    return _pod(spec, {"app.kubernetes.io/name": "vault-configurator"}, name, namespace, {"containers": merged})


def _pod(
    spec: Mapping[str, Any], labels: Mapping[str, str], name: str, namespace: str, own: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        "spec": {
            "serviceAccountName": spec["serviceAccount"],
            "automountServiceAccountToken": True,
            "securityContext": spec["securityContext"],
            "tolerations": spec["tolerations"],
            **own,
        },
    }


def _merged_by_name(ours: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_name = {container["name"]: container for container in given}
    return [_merged(container, by_name.get(container["name"], {})) for container in ours]


def _merged(ours: Any, given: Any) -> Any:
    if isinstance(ours, dict) and isinstance(given, dict):
        return {key: _merged(ours.get(key), given.get(key)) for key in {**ours, **given}}
    if isinstance(ours, list) and isinstance(given, list):
        return [*ours, *given]
    return ours if given is None else given
