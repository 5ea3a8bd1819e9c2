"""The VMs and their Talos configurations, and what Talos itself puts into the cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from checks.graph import Graph, reveal
from checks.model.objects import Manager, Object, items, mapping
from checks.model.program import plain

_VM = "proxmoxve:index/vmLegacy:VmLegacy"
_CONFIGURATION = "talos:machine/getConfiguration:getConfiguration"

TALOS_PODS = "baseline"
"""The Pod Security level that Talos enforces where a namespace says nothing; kube-system is exempt
(https://www.talos.dev/v1.13/kubernetes-guides/configuration/pod-security/)."""

EXEMPT = ("kube-system",)


@dataclass
class Machine:
    """One VM."""

    name: str
    urn: str
    where: str
    host: str
    memory: dict[str, Any]
    """`dedicated` and `floating` in MiB, as far as they are set."""
    cores: int


@dataclass
class Talos:
    """All nodes' configurations."""

    endpoint: str = ""
    patches: list[dict[str, Any]] = field(default_factory=list)
    """Every document of every node."""
    where: str = "components/talos/cluster.py"

    def cluster(self, *path: str) -> list[Any]:
        """The values at a path below `cluster` in any document."""
        return self._at("cluster", *path)

    def machine(self, *path: str) -> list[Any]:
        """The values at a path below `machine` in any document."""
        return self._at("machine", *path)

    def _at(self, *path: str) -> list[Any]:
        found = []
        for document in self.patches:
            value: Any = document
            for part in path:
                value = mapping(value).get(part)
            if value is not None:
                found.append(value)
        return found


def machines_of(graph: Graph) -> list[Machine]:
    """The VMs of a recorded program."""
    found = []
    for node in graph.of_type(_VM):
        inputs = mapping(plain(node.inputs))
        cores = mapping(inputs.get("cpu")).get("cores") or 0
        found.append(
            Machine(
                str(inputs.get("name") or node.name),
                node.urn,
                node.source,
                str(inputs.get("nodeName", "")),
                mapping(inputs.get("memory")),
                int(cores) if isinstance(cores, (int, float)) else 0,
            )
        )
    return found


def talos_of(graph: Graph) -> Talos:
    """The Talos configurations of a recorded program, as far as its first preview knows them."""
    talos = Talos()
    for invoke in graph.invokes:
        if invoke.token == _CONFIGURATION:
            shown = reveal(invoke.args)
            talos.endpoint = str(shown.get("clusterEndpoint", ""))
            for text in shown.get("configPatches") or []:
                if isinstance(text, str):
                    talos.patches += [one for one in yaml.safe_load_all(text) if isinstance(one, dict)]
    return talos


def objects_of(talos: Talos) -> list[Object]:
    """What Talos applies at bootstrap: its own manifests unless they are switched off, and inline ones."""
    if not talos.patches:
        return []
    found: list[Object] = []
    manager = Manager("talos", "bootstrap manifests")

    def add(version: str, kind: str, name: str, namespace: str = "kube-system", **content: Any) -> None:
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        body = {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
        found.append(Object(body, manager, talos.where, ""))

    if True not in talos.cluster("coreDNS", "disabled"):
        for version, kind in (("apps/v1", "Deployment"), ("v1", "ConfigMap"), ("v1", "ServiceAccount")):
            add(version, kind, "coredns")
        add("v1", "Service", "kube-dns", spec={"ports": [{"name": "dns", "port": 53}]})
    if True not in talos.cluster("proxy", "disabled"):
        add("apps/v1", "DaemonSet", "kube-proxy")
    if "none" not in talos.cluster("network", "cni", "name"):
        add("apps/v1", "DaemonSet", "kube-flannel")
    for manifests in talos.cluster("inlineManifests"):
        for one in items(manifests):
            for content in yaml.safe_load_all(str(one.get("contents", ""))):
                if isinstance(content, dict) and "kind" in content:
                    found.append(Object(content, manager, talos.where, ""))
    return found


def brought_by_kubernetes() -> list[Object]:
    """What every cluster has from its start."""
    manager = Manager("kubernetes", "")
    found = []
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        found.append(Object(content, manager, "", ""))
    for name in ("cluster-admin", "admin", "edit", "view"):
        content = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
        found.append(Object(content, manager, "", ""))
    ports = {"ports": [{"name": "https", "port": 443}]}
    metadata = {"name": "kubernetes", "namespace": "default"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports}
    found.append(Object(service, manager, "", ""))
    # Helped by the API server itself: the Role that lets an aggregated API server read its configuration.
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    found.append(
        Object(
            {**role, "metadata": {"name": "extension-apiserver-authentication-reader", "namespace": "kube-system"}},
            manager,
            "",
            "",
        )
    )
    return found
