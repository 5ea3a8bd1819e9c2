"""The hand-over: which repository Flux deploys from, and what its files may refer to.

Owns the key that reads the repository, the ConfigMap `cluster-settings`, one GitRepository and one root Kustomization.
Does not own what is in the repository, namespaces and generated secrets of applications, nor Flux itself (`flux.py`).
Must exist before: Flux, whose controllers act on these objects.

The key is the program's, because a SealedSecret in the repository cannot bring the key that reads the repository. The
root Kustomization waits for none of the applications: one that fails blocks those that depend on it, and no `up`. When
it is deleted, what it made stays (`deletionPolicy: Orphan`), so taking the hand-over out of the settings touches no
workload. Each object depends on the one that must outlive it: root Kustomization, GitRepository, FluxInstance, release.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.gitops.defaults import KUSTOMIZE_API, SETTINGS, SOURCE_API, patches
from components.gitops.flux import Flux
from components.kit.kubernetes_object import ConfigMap, Secret
from components.kit.readiness import READY

REPOSITORY: Final = "homelab"
"""Name of the GitRepository, which stays the same wherever the repository is: nothing is pruned when that changes."""

ROOT: Final = "applications"
"""Name of the root Kustomization, whose folder lists the applications."""

_KEY: Final = "homelab-git"
"""Name of the Secret with the key that reads the repository."""

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What may be a variable: https://fluxcd.io/flux/components/kustomize/kustomizations/#post-build-variable-substitution"""


@dataclass(frozen=True, kw_only=True)
class DeployKey:
    """How a repository is read over SSH.

    url: of the repository that the key is for.
    private_key: in OpenSSH's format or PEM; a secret.
    host_key: the server's public key, as `<type> <base64>`. None only in a preview, which does without.
    """

    url: str
    private_key: pulumi.Input[str]
    host_key: str | None

    @property
    def known_hosts(self) -> str:
        """The line of known_hosts for the server in `url`; other ports than 22 are part of the name."""
        parts = urlsplit(self.url)
        host = str(parts.hostname) if parts.port in (None, 22) else f"[{parts.hostname}]:{parts.port}"
        return f"{host} {self.host_key}\n" if self.host_key else ""


@dataclass(frozen=True, kw_only=True)
class HandOverArgs:
    """Arguments of `HandOver`.

    url, branch, path: the repository, its branch, and the folder whose kustomization.yaml lists the applications.
    key: what reads the repository; None where everybody may.
    variables: what `${name}` stands for in the files, by name.
    chart_mirror: URL of one Helm repository in place of all others.
    """

    flux: Flux
    url: pulumi.Input[str]
    branch: str
    path: str
    key: DeployKey | None
    variables: Mapping[str, pulumi.Input[str]]
    chart_mirror: str | None = None

    def __post_init__(self) -> None:
        if wrong := [name for name in self.variables if not _VARIABLE.fullmatch(name)]:
            raise ValueError(f"variables: {wrong[0]!r} can be no variable of Flux; use letters, digits and underscores")


class HandOver(pulumi.ComponentResource):
    """What Flux deploys."""

    source: CustomResource
    """The GitRepository; Ready when its branch has been fetched."""

    ready: CustomResource
    """The root Kustomization; Ready when the list of applications has been applied."""

    def __init__(self, name: str, args: HandOverArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:gitops:HandOver", name, None, opts)
        self._namespace = args.flux.namespace
        self._flux = args.flux.ready
        settings = ConfigMap(
            f"{name}-settings",
            metadata=self._metadata(SETTINGS),
            data=dict(args.variables),
            opts=self._options(self._flux),
        )
        self.source = self._repository(name, args)
        self.ready = CustomResource(
            name,
            api_version=KUSTOMIZE_API,
            kind="Kustomization",
            metadata=self._metadata(ROOT, READY),
            spec={
                "interval": "10m",
                "retryInterval": "1m",
                "timeout": "5m",
                "sourceRef": {"kind": "GitRepository", "name": REPOSITORY},
                "path": args.path,
                "prune": True,
                "deletionPolicy": "Orphan",
                "patches": patches(args.chart_mirror),
            },
            opts=self._options(self.source, settings, create="10m"),
        )
        self.register_outputs({"ready": self.ready.id, "source": self.source.id})

    def _repository(self, name: str, args: HandOverArgs) -> CustomResource:
        after: list[pulumi.Resource] = [self._flux]
        if args.key is not None:
            after.append(self._secret(name, args.key))
        return CustomResource(
            f"{name}-source",
            api_version=SOURCE_API,
            kind="GitRepository",
            metadata=self._metadata(REPOSITORY, READY),
            spec=pulumi.Output.from_input(args.url).apply(
                lambda url: repository(url, args.branch, keyed=bool(args.key))
            ),
            opts=self._options(*after, create="10m"),
        )

    def _secret(self, name: str, key: DeployKey) -> Secret:
        """In `data`, the form that the API returns."""
        return Secret(
            f"{name}-key",
            metadata=self._metadata(_KEY),
            type="Opaque",
            data={
                "identity": pulumi.Output.secret(key.private_key).apply(_base64),
                "known_hosts": _base64(key.known_hosts),
            },
            opts=self._options(self._flux),
        )

    def _metadata(self, name: str, annotations: Mapping[str, str] | None = None) -> ObjectMetaArgs:
        return ObjectMetaArgs(name=name, namespace=self._namespace, annotations=annotations)

    def _options(self, *after: pulumi.Resource, create: str = "2m") -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create=create, update=create, delete="2m"),
        )


def repository(url: str, branch: str, *, keyed: bool) -> dict[str, Any]:
    """The `spec` of the GitRepository; `keyed`: whether there is a key, which is for a URL of SSH alone."""
    spec: dict[str, Any] = {"interval": "1m", "timeout": "60s", "url": url, "ref": {"branch": branch}}
    # Left out rather than null, which the API server refuses.
    return spec | ({"secretRef": {"name": _KEY}} if keyed and url.startswith("ssh://") else {})


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
