"""What release 1.24 of the operator makes of a Vault resource, as far as admission and placement look at it.

The operator is not available as a Go module. What it adds and how it merges the resource's pod specs into its own was
read in its source (pkg/controller/vault/vault_controller.go, tag v1.24.0), and compared with what a build of that tag
made of the lab's resource: containers are merged by name, lists are appended to, and the server always gets two
capabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ADDED = {"capabilities": {"add": ["IPC_LOCK", "SETFCAP"]}}


def stateful_set(vault: Mapping[str, Any]) -> dict[str, Any]:
    """The servers of a Vault resource as the cluster holds it, whose own they are: they go with it."""
    metadata, spec = vault["metadata"], vault["spec"]
    name, namespace = metadata["name"], metadata["namespace"]
    pod = server_pod(spec, f"{name}-0", namespace)
    labels = pod["metadata"]["labels"]
    owner = {
        "apiVersion": vault["apiVersion"],
        "kind": vault["kind"],
        "name": name,
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner]},
        "spec": {
            "replicas": spec["size"],
            "serviceName": "",
            # As for every Vault on raft: a server waits until the one before it is ready.
            "podManagementPolicy": "OrderedReady",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod["spec"]},
            "volumeClaimTemplates": spec["volumeClaimTemplates"],
        },
    }


def server_pod(spec: Mapping[str, Any], name: str, namespace: str) -> dict[str, Any]:
    """The pod of one server."""
    server = {"name": "vault", "image": spec["image"], "args": ["server"], "resources": spec["resources"]["vault"]}
    sidecar = {"name": "bank-vaults", "image": spec["bankVaultsImage"], "command": ["bank-vaults", "unseal", "--init"]}
    containers = [
        server | {"securityContext": _ADDED},
        sidecar | {"resources": spec["resources"]["bankVaults"]},
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
