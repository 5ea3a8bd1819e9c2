"""Flux: the controllers that deploy what a Git repository says.

Owns the namespace, who reaches its pods, the release of the Flux operator and the one FluxInstance, from which the
operator installs Flux's own definitions and controllers. Does not own a repository or what is deployed from it: that is
`hand_over.py`. Must exist before: the pod network.

The operator is never handed over to Flux itself: two owners of one release undo each other's upgrades without end
(https://github.com/Smana/cloud-native-ref/issues/1775).

When the FluxInstance is deleted, the operator ends the controllers, takes the finalizers from every object of Flux and
then removes its definitions, so that no workload is touched (`uninstall` in internal/controller/
fluxinstance_uninstaller.go of https://github.com/controlplaneio-fluxcd/flux-operator, 0.58.1). The namespace stays, as
it is the program's (`fluxcd.controlplane.io/prune: disabled` in internal/builder/templates.go there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import yaml
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit import image_pulls
from components.kit.chart import ChartSource, values
from components.kit.namespace import SERVICE_DOMAIN, make_namespace
from components.kit.network_policy import Access, Pods, close_namespace, open_to
from components.kit.readiness import READY
from components.kit.versions import FLUX, FLUX_OPERATOR

NAMESPACE: Final = "flux-system"
"""Of the operator, of Flux, and of the objects that say what is deployed."""

RECEIVER: Final = f"http://webhook-receiver.{NAMESPACE}.svc.{SERVICE_DOMAIN}"
"""Where Flux listens for news of a repository: the Service of the notification controller, inside the cluster only."""

REQUEUE: Final = 5
"""Seconds until an object that waits for another is looked at again."""

_INSTANCE: Final = "flux"
"""The only name that the operator accepts."""

_API: Final = "fluxcd.controlplane.io/v1"
_PARTS: Final = {"app.kubernetes.io/part-of": "flux"}
_NOTIFICATION, _SOURCE, _KUSTOMIZE, _HELM = (
    f"{part}-controller" for part in ("notification", "source", "kustomize", "helm")
)

WRITERS: Final = (_KUSTOMIZE, _HELM)
"""The controllers that write what is in a repository, and their accounts; the others write objects of Flux alone."""

_FLAGS: Final[Mapping[str, Sequence[str]]] = {
    _KUSTOMIZE: (
        # What is applied is in the repository, and not fetched from another one in the course of it.
        "--no-remote-bases=true",
        f"--requeue-dependency={REQUEUE}s",
        # A changed ConfigMap or Secret that an object refers to is applied at once, except those that Helm keeps.
        "--watch-configs-label-selector=owner!=helm",
        # A variable that nobody defines is an error, not an empty text; a newer commit ends the wait for an older one.
        "--feature-gates=StrictPostBuildSubstitutions=true,CancelHealthCheckOnNewRevision=true",
    ),
    _HELM: (f"--requeue-dependency={REQUEUE}s", "--watch-configs-label-selector=owner!=helm"),
}
"""What each controller is told beyond its defaults: `main.go` of each has its flags."""


@dataclass(frozen=True, kw_only=True)
class FluxArgs:
    """Arguments of `Flux`.

    callers: pods that may tell Flux of news in a repository.
    """

    charts: ChartSource
    callers: Sequence[Pods]


class Flux(pulumi.ComponentResource):
    """The controllers for sources, Kustomizations, Helm releases and notifications."""

    namespace: str
    """Where the objects that Pulumi hands over belong."""

    ready: CustomResource
    """Ready when every controller is; objects of Flux depend on it, so that it still runs while they are deleted."""

    def __init__(self, name: str, args: FluxArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:Flux", name, None, opts)
        self.namespace = NAMESPACE
        namespace = make_namespace(f"{name}-namespace", NAMESPACE, "restricted", parent=self)
        closed = close_namespace(f"{name}-closed", namespace, parent=self)
        access = open_to(name, _access(args.callers), namespace.metadata.name, parent=self)
        release = args.charts.install(
            FLUX_OPERATOR,
            f"{name}-operator",
            parent=self,
            name="flux-operator",
            namespace=namespace.metadata.name,
            values=values("flux-operator"),
        )
        self.ready = CustomResource(
            name,
            api_version=_API,
            kind="FluxInstance",
            metadata=ObjectMetaArgs(name=_INSTANCE, namespace=namespace.metadata.name, annotations=READY),
            spec=_instance(),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[release, closed, *access],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=image_pulls.AWAITED, update=image_pulls.AWAITED, delete="10m"
                ),
            ),
        )
        self.register_outputs({"namespace": NAMESPACE, "version": FLUX})


def _access(callers: Sequence[Pods]) -> list[Access]:
    """Controllers fetch artifacts from one another and report to one; nobody else does. Metrics are read by nobody."""
    among = [Access(name="controllers", to=_PARTS, ports=[9090], callers=[Pods(labels=_PARTS)])]
    return among + (
        [Access(name="webhooks", to={"app": _NOTIFICATION}, ports=[9292], callers=callers)] if callers else []
    )


def _instance() -> dict[str, Any]:
    """The FluxInstance; it has no `sync`, as the program makes the objects that say what is deployed.

    Fields: https://github.com/controlplaneio-fluxcd/flux-operator/blob/v0.58.1/api/v1/fluxinstance_types.go.
    """
    return {
        # Exact: a range such as 2.x would upgrade by itself.
        "distribution": {"version": FLUX, "registry": "ghcr.io/fluxcd"},
        "components": [_SOURCE, _KUSTOMIZE, _HELM, _NOTIFICATION],
        "cluster": {
            "type": "kubernetes",
            "size": "small",
            "domain": SERVICE_DOMAIN,
            # Flux's own policies would open metrics and webhooks to every pod.
            "networkPolicy": False,
        },
        "kustomize": {
            "patches": [
                {"target": {"kind": "Deployment", "name": controller}, "patch": _adding(flags)}
                for controller, flags in _FLAGS.items()
            ]
        },
    }


def _adding(flags: Sequence[str]) -> str:
    """A JSON patch that adds flags; the operator applies it after its own, and the last of two equal flags wins."""
    place = "/spec/template/spec/containers/0/args/-"
    return yaml.safe_dump([{"op": "add", "path": place, "value": flag} for flag in flags], sort_keys=False)
