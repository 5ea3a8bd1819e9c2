"""What a Terraform plan still owns, for people who come from layers of Terraform.

Reads `terraform show -json <plan>`: https://developer.hashicorp.com/terraform/internals/json-format
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from checks.model.objects import Identity, items, mapping

_KINDS = {
    "namespace": ("", "Namespace"),
    "secret": ("", "Secret"),
    "config_map": ("", "ConfigMap"),
    "service": ("", "Service"),
    "service_account": ("", "ServiceAccount"),
    "persistent_volume_claim": ("", "PersistentVolumeClaim"),
    "deployment": ("apps", "Deployment"),
    "stateful_set": ("apps", "StatefulSet"),
    "daemonset": ("apps", "DaemonSet"),
    "daemon_set": ("apps", "DaemonSet"),
    "job": ("batch", "Job"),
    "cron_job": ("batch", "CronJob"),
    "ingress": ("networking.k8s.io", "Ingress"),
    "ingress_class": ("networking.k8s.io", "IngressClass"),
    "network_policy": ("networking.k8s.io", "NetworkPolicy"),
    "storage_class": ("storage.k8s.io", "StorageClass"),
    "cluster_role": ("rbac.authorization.k8s.io", "ClusterRole"),
    "cluster_role_binding": ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    "role": ("rbac.authorization.k8s.io", "Role"),
    "role_binding": ("rbac.authorization.k8s.io", "RoleBinding"),
}


@dataclass(frozen=True)
class Planned:
    """One resource that Terraform owns after its plan."""

    address: str
    where: str
    identity: Identity | None = None
    release: tuple[str, str] | None = None
    """Namespace and name of a Helm release."""


def planned(plan: Path) -> list[Planned]:
    """The objects and releases of a plan that still exist after it.

    Raises:
        ValueError: the file is no plan in JSON.
    """
    try:
        content = json.loads(plan.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{plan} is no plan in JSON: write it with `terraform show -json PLAN`: {error}") from None
    found = {}
    for change in items(mapping(content).get("resource_changes")):
        after = mapping(mapping(change.get("change")).get("after"))
        if after and change.get("mode", "managed") == "managed":
            for one in _of_resource(str(change.get("type")), str(change.get("address")), after, str(plan)):
                found[one.address, str(one.identity or one.release)] = one
    return list(found.values())


def _of_resource(kind: str, address: str, after: dict[str, Any], where: str) -> list[Planned]:
    if kind == "helm_release":
        return [Planned(address, where, release=(str(after.get("namespace") or "default"), str(after.get("name"))))]
    if kind == "kubectl_manifest":
        documents = yaml.safe_load_all(str(after.get("yaml_body") or ""))
        return [Planned(address, where, _identity(one)) for one in documents if isinstance(one, dict)]
    if kind == "kubernetes_manifest":
        return [Planned(address, where, _identity(mapping(after.get("manifest"))))]
    if kind.startswith("kubernetes_"):
        group, name = _KINDS.get(re.sub(r"_v\d\w*$", "", kind.removeprefix("kubernetes_")), ("", ""))
        metadata = next(iter(items(after.get("metadata"))), {})
        if name:
            space = str(metadata.get("namespace") or "")
            return [Planned(address, where, Identity(group, name, space, str(metadata.get("name"))))]
    return []


def _identity(content: dict[str, Any]) -> Identity:
    metadata, version = mapping(content.get("metadata")), str(content.get("apiVersion", ""))
    group = version.partition("/")[0] if "/" in version else ""
    return Identity(group, str(content.get("kind")), str(metadata.get("namespace") or ""), str(metadata.get("name")))
