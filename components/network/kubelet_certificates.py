"""Approves the nodes' requests for certificates of their kubelets' ports.

Kubernetes approves no such request by itself; until one is approved, the port takes no connection: `kubectl logs`,
`kubectl exec` and metrics of the node fail, while pods run and the node is Ready. Owns the namespace and the Helm
release of kubelet-csr-approver, and for whom it approves: each node its own name and address. Does not own the
requests, which kubelets make by themselves (`signed_kubelet_certificate` in components/talos/config.py), nor the
signature, which is the controller-manager's.
Must exist before: the pod network. One replica: a request comes once in months, and waits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, Final

import pulumi

from components.kit.chart import ChartSource, values
from components.kit.namespace import make_namespace
from components.kit.release import Release
from components.kit.versions import KUBELET_CSR_APPROVER

NAMESPACE: Final = "kubelet-csr-approver"


@dataclass(frozen=True, kw_only=True)
class KubeletCertificatesArgs:
    """Arguments of `KubeletCertificates`.

    nodes: address of each node, by its name.
    """

    charts: ChartSource
    nodes: Mapping[str, IPv4Address]

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ValueError("nodes: none; without one the approver has nobody to approve for and does not start")


class KubeletCertificates(pulumi.ComponentResource):
    """The approver of serving certificates."""

    ready: Release
    """Up when requests are approved."""

    def __init__(self, name: str, args: KubeletCertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:network:KubeletCertificates", name, None, opts)
        namespace = make_namespace(f"{name}-namespace", NAMESPACE, "restricted", parent=self)
        configured: dict[str, Any] = values("kubelet-csr-approver")
        # The approver itself checks that a name begins with that of the node that asks.
        configured["providerRegex"] = f"^({'|'.join(re.escape(node) for node in sorted(args.nodes))})$"
        configured["providerIpPrefixes"] = [f"{address}/32" for address in sorted(args.nodes.values())]
        self.ready = args.charts.install(
            KUBELET_CSR_APPROVER,
            name,
            parent=self,
            name="kubelet-csr-approver",
            namespace=namespace.metadata.name,
            values=configured,
        )
        self.register_outputs({"release": self.ready.name})
