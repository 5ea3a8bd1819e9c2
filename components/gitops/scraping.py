"""Opens the ports with metrics of the program's closed namespaces for Prometheus, and for it alone.

Owns one NetworkPolicy for each kind of pod. Does not own Prometheus, which is an application of Flux
(`gitops/monitoring`), nor what it asks for: a monitor beside it says so. A namespace that is not closed needs nothing.
Must exist before: the namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi

from components.kit.network_policy import Access, Pods, open_to

NAMESPACE: Final = "monitoring"

PROMETHEUS: Final = Pods(labels={"app.kubernetes.io/name": "prometheus"}, namespace=NAMESPACE)
"""The operator's label of the servers' pods."""


@dataclass(frozen=True, kw_only=True)
class Scraped:
    """Pods with metrics.

    labels: of the pods. ports: those with metrics.
    """

    labels: Mapping[str, str]
    ports: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class ScrapingArgs:
    """Arguments of `Scraping`.

    pods: by namespace, and by the name of what they are.
    """

    pods: Mapping[str, Mapping[str, Scraped]]


class Scraping(pulumi.ComponentResource):
    """Who may be asked for metrics."""

    def __init__(self, name: str, args: ScrapingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:Scraping", name, None, opts)
        for namespace, kinds in args.pods.items():
            open_to(
                f"{name}-{namespace}",
                [
                    Access(name=f"{kind}-metrics", to=pods.labels, ports=pods.ports, callers=[PROMETHEUS])
                    for kind, pods in kinds.items()
                ],
                namespace,
                parent=self,
            )
        self.register_outputs({"namespaces": sorted(args.pods)})
