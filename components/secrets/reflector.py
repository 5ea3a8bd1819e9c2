"""Reflector: keeps a copy of a Secret in other namespaces, for one value that serves several.

Owns the namespace, the Helm release and its rights: the chart would grant everything on every Secret and ConfigMap.
Does not own what is copied where: a Secret says so by the annotations of a `Mirror`.
Must exist before: the pod network.

Why not a second ExternalSecret in the other namespace: it would log in as that namespace, which Vault allows to read
only its own path. Copying inside the cluster keeps that rule without an exception, and two copies cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.chart import ChartSource, values
from components.kit.kubernetes_object import ClusterRole, ClusterRoleBinding
from components.kit.namespace import make_namespace
from components.kit.release import Release
from components.kit.versions import REFLECTOR

_NAME: Final = "reflector"
"""Name of namespace, release, account and role; the chart names its account after the release."""

_PREFIX: Final = "reflector.v1.k8s.emberstack.com"


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """The namespaces that a Secret is copied to, under its own name.

    ready: the resource after which copies are made.
    """

    namespaces: tuple[str, ...]
    ready: pulumi.Resource

    def __post_init__(self) -> None:
        if not self.namespaces:
            raise ValueError("namespaces: none; to Reflector an empty list means all of them, so name at least one")

    @property
    def annotations(self) -> dict[str, str]:
        """On the original: copy it to these namespaces, and let nobody copy it to any other."""
        into = ",".join(self.namespaces)
        return {
            f"{_PREFIX}/reflection-allowed": "true",
            f"{_PREFIX}/reflection-allowed-namespaces": into,
            f"{_PREFIX}/reflection-auto-enabled": "true",
            f"{_PREFIX}/reflection-auto-namespaces": into,
        }


@dataclass(frozen=True, kw_only=True)
class ReflectorArgs:
    """Arguments of `Reflector`."""

    charts: ChartSource


class Reflector(pulumi.ComponentResource):
    """Copies Secrets between namespaces. One replica: it has no leader election."""

    ready: Release

    def __init__(self, name: str, args: ReflectorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:secrets:Reflector", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", _NAME, "restricted", parent=self)
        self.ready = args.charts.install(
            REFLECTOR,
            name,
            parent=self,
            name=_NAME,
            namespace=namespace.metadata.name,
            values=values("reflector"),
            depends_on=[self._rights(name)],
        )
        self.register_outputs({"release": self.ready.name})

    def into(self, *namespaces: str) -> Mirror:
        """A mirror to these namespaces. Raises ValueError when there is none."""
        return Mirror(namespaces=tuple(sorted(set(namespaces))), ready=self.ready)

    def _rights(self, name: str) -> ClusterRoleBinding:
        """What it does with Secrets; ConfigMaps it only watches, without which it does not run."""
        inside = pulumi.ResourceOptions(
            parent=self, custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m")
        )
        see = ["get", "list", "watch"]
        role = ClusterRole(
            name,
            metadata=ObjectMetaArgs(name=_NAME),
            rules=[
                {"apiGroups": [""], "resources": ["secrets"], "verbs": [*see, "create", "patch", "delete"]},
                {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": see},
            ],
            opts=inside,
        )
        return ClusterRoleBinding(
            name,
            metadata=ObjectMetaArgs(name=_NAME),
            roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _NAME},
            subjects=[{"kind": "ServiceAccount", "name": _NAME, "namespace": _NAME}],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[role],
                custom_timeouts=pulumi.CustomTimeouts(create="2m", update="2m", delete="2m"),
            ),
        )
