"""The programs that the lab runs: where each comes from, and which command needs it.

One that the user has installed is used where its version fits; everything else is built from its Go module.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.golang import GoBinary, build, cached, find_go
from lab.session import outer_path

KUBERNETES_LDFLAGS = (
    "-s -w -X k8s.io/component-base/version.gitVersion=v{version}"
    " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
)
"""Without a version linked in, clients cannot parse what the API server says of itself."""

CONTAINERD = "github.com/containerd/containerd/v2"
CONTAINERD_LDFLAGS = "-s -w -X github.com/containerd/containerd/v2/version.Version=v{version}"
"""The kubelet refuses a runtime that does not tell its version."""


@dataclass(frozen=True)
class Found:
    """A program that can be run, and where it came from, in the words of the report."""

    path: Path
    origin: str


@dataclass(frozen=True)
class Tool:
    """A program and the test that one on the user's PATH must pass; None: only the pinned one is used."""

    binary: GoBinary
    fits: Callable[[Path], bool] | None = None

    def find(self) -> Found | None:
        """What can be used without building anything."""
        if self.fits and (path := shutil.which(self.binary.name, path=outer_path())) and self.fits(Path(path)):
            return Found(Path(path), "installed")
        if path_in_cache := cached(self.binary):
            return Found(path_in_cache, f"built, {self.binary.version()}")
        return None


def _pulumi_fits(path: Path) -> bool:
    """Whether a CLI is of major version 3 and not older than the one that is pinned."""
    text = _output([str(path), "version"])
    found = re.match(r"v?3\.(\d+)\.", text)
    return found is not None and int(found.group(1)) >= 259


def _kubectl_fits(path: Path) -> bool:
    """Whether a kubectl is within one minor version of the pinned API server."""
    try:
        version = json.loads(_output([str(path), "version", "--client", "--output=json"]))["clientVersion"]
        return abs(int(re.sub(r"\D", "", version["minor"])) - 36) <= 1
    except (ValueError, KeyError, TypeError):
        return False


def _helm_fits(path: Path) -> bool:
    """Whether Helm is of the major version that the Kubernetes provider contains, and not older than its 3.18."""
    found = re.match(r"v3\.(\d+)\.", _output([str(path), "version", "--template", "{{.Version}}"]))
    return found is not None and int(found.group(1)) >= 18


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _kubernetes(name: str, directory: str = "tools/kubernetes") -> GoBinary:
    return GoBinary(name, directory, f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", KUBERNETES_LDFLAGS)


_TOOLS = [
    Tool(
        GoBinary(
            "pulumi",
            "tools/pulumi",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            "github.com/pulumi/pulumi/pkg/v3",
            "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}",
        ),
        _pulumi_fits,
    ),
    Tool(GoBinary("etcd", "tools/etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3")),
    Tool(_kubernetes("kube-apiserver")),
    Tool(_kubernetes("kube-controller-manager")),
    Tool(_kubernetes("kube-scheduler")),
    Tool(_kubernetes("kubectl"), _kubectl_fits),
    *(Tool(_kubernetes(name, "tools/kubelet")) for name in ("kubelet", "kube-proxy")),
    *(
        Tool(GoBinary(name, "tools/containerd", f"{CONTAINERD}/cmd/{name}", CONTAINERD, CONTAINERD_LDFLAGS))
        for name in ("containerd", "containerd-shim-runc-v2")
    ),
    Tool(GoBinary("network-policies", "network_policies", ".")),
    Tool(GoBinary("csi-volumes", "volumes", ".")),
    Tool(GoBinary("kwok", "tools/kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok")),
    Tool(
        GoBinary(
            "talosctl",
            "tools/talosctl",
            "github.com/siderolabs/talos/cmd/talosctl",
            "github.com/siderolabs/talos",
            "-s -w -X github.com/siderolabs/talos/pkg/machinery/gendata/data.tag=v{version}",
        )
    ),
    Tool(GoBinary("talos-nodes", "talos", "./cmd/talos-nodes")),
    Tool(GoBinary("edge-host", "ssh_hosts", "./cmd/edge-host")),
    Tool(GoBinary("helm-player", "helm_player", ".")),
    Tool(
        GoBinary(
            "helm",
            "tools/helm",
            "helm.sh/helm/v3/cmd/helm",
            "helm.sh/helm/v3",
            "-s -w -X helm.sh/helm/v3/internal/version.version=v{version}"
            " -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36",
        ),
        _helm_fits,
    ),
    Tool(
        GoBinary(
            "sealed-secrets-controller",
            "tools/sealed-secrets",
            "github.com/bitnami-labs/sealed-secrets/cmd/controller",
            "github.com/bitnami-labs/sealed-secrets",
            "-s -w -X main.VERSION={version}",
        )
    ),
    Tool(GoBinary("vault", "tools/vault", "github.com/hashicorp/vault", "github.com/hashicorp/vault")),
    *(
        Tool(
            GoBinary(
                name,
                "tools/bank-vaults",
                f"github.com/bank-vaults/bank-vaults/cmd/{name}",
                "github.com/bank-vaults/bank-vaults",
            )
        )
        for name in ("bank-vaults", "template")
    ),
    Tool(
        GoBinary(
            "headscale",
            "tools/headscale",
            "github.com/juanfont/headscale/cmd/headscale",
            "github.com/juanfont/headscale",
        )
    ),
    Tool(
        GoBinary(
            "external-dns",
            "tools/external-dns",
            "sigs.k8s.io/external-dns",
            "sigs.k8s.io/external-dns",
            "-s -w -X sigs.k8s.io/external-dns/pkg/apis/externaldns.Version=v{version}",
        )
    ),
    Tool(
        GoBinary("coredns", "tools/coredns", "github.com/coredns/coredns", "github.com/coredns/coredns"),
    ),
    Tool(
        GoBinary(
            "powerdns-operator",
            "tools/powerdns-operator",
            "github.com/powerdns-operator/powerdns-operator/cmd",
            "github.com/powerdns-operator/powerdns-operator",
        )
    ),
    Tool(
        GoBinary(
            "pebble", "tools/pebble", "github.com/letsencrypt/pebble/v2/cmd/pebble", "github.com/letsencrypt/pebble/v2"
        )
    ),
    Tool(
        GoBinary(
            "external-secrets",
            "tools/external-secrets",
            "github.com/external-secrets/external-secrets",
            "github.com/external-secrets/external-secrets",
        )
    ),
    Tool(
        GoBinary("metallb-controller", "tools/metallb", "go.universe.tf/metallb/controller", "go.universe.tf/metallb")
    ),
    Tool(
        GoBinary(
            "cloudnative-pg",
            "tools/cloudnative-pg",
            "github.com/cloudnative-pg/cloudnative-pg/cmd/manager",
            "github.com/cloudnative-pg/cloudnative-pg",
        )
    ),
    *(
        Tool(GoBinary(tool, f"tools/{of}", f"github.com/prometheus/{of}/cmd/{tool}", f"github.com/prometheus/{of}"))
        for of, tool in (
            ("prometheus", "promtool"),
            ("prometheus", "prometheus"),
            ("alertmanager", "amtool"),
            ("alertmanager", "alertmanager"),
        )
    ),
    Tool(
        GoBinary(
            "prometheus-operator",
            "tools/prometheus-operator",
            "github.com/prometheus-operator/prometheus-operator/cmd/operator",
            "github.com/prometheus-operator/prometheus-operator",
        )
    ),
    Tool(GoBinary("alloy-syntax", "alloy_syntax", ".")),
    *(
        Tool(GoBinary(name, f"tools/{name}", f"github.com/fluxcd/{name}", f"github.com/fluxcd/{name}"))
        for name in ("source-controller", "kustomize-controller")
    ),
    Tool(
        GoBinary(
            "bazel-remote",
            "tools/bazel-remote",
            "github.com/buchgr/bazel-remote/v2",
            "github.com/buchgr/bazel-remote/v2",
        )
    ),
    Tool(
        GoBinary(
            "github-mcp-server",
            "tools/github-mcp-server",
            "github.com/github/github-mcp-server/cmd/github-mcp-server",
            "github.com/github/github-mcp-server",
        )
    ),
    Tool(GoBinary("rclone", "rclone", ".")),
    Tool(GoBinary("otelcol", "collector", ".")),
    Tool(GoBinary("git-server", "ssh_hosts", "./cmd/git-server")),
    Tool(GoBinary("gitea", "tools/gitea", "gitea.dev", "gitea.dev", "-s -w -X main.Version={version}")),
    Tool(GoBinary("cert-manager-controller", "certificates", "./cmd/cert-manager-controller")),
    Tool(GoBinary("dns01-solver", "certificates", "./cmd/dns01-solver")),
    Tool(GoBinary("manifests", "manifests", ".")),
]

TESTS = (
    "helm",
    "sealed-secrets-controller",
    "vault",
    "bank-vaults",
    "template",
    "headscale",
    "external-dns",
    "coredns",
    "powerdns-operator",
    "pebble",
    "external-secrets",
    "metallb-controller",
    "cloudnative-pg",
    "gitea",
    "cert-manager-controller",
    "dns01-solver",
    "promtool",
    "prometheus",
    "amtool",
    "alertmanager",
    "prometheus-operator",
    "alloy-syntax",
    "bazel-remote",
    "github-mcp-server",
    "rclone",
    "otelcol",
    "manifests",
)
"""What only the tests and checks need: the lab's provider plugin has Helm in it, and its pods are played."""

LONG_TESTS = ("gitea", "prometheus", "prometheus-operator", "bazel-remote", "github-mcp-server", "rclone", "otelcol")
"""Those of them that only the long tests need: servers of applications."""

CHECKS = ("helm", "manifests")
"""What the offline checks need."""


def _sooner_built(tool: Tool) -> Tool:
    """The tool; one that only tests run, for a moment each, is not worth the time of a better build."""
    name = tool.binary.name
    if name not in TESTS or name in CHECKS:
        return tool
    return replace(tool, binary=replace(tool.binary, optimized=False))


TOOLS = {tool.binary.name: _sooner_built(tool) for tool in _TOOLS}
"""Every program, in the order in which they are built."""

PREVIEW = ("pulumi",)
"""What a preview needs besides the provider plugins."""

PODS = (
    *("kubelet", "kube-proxy", "network-policies", "csi-volumes", "containerd", "containerd-shim-runc-v2"),
    "coredns",
)
"""What a lab with real pods needs besides."""

REAL_CONTROLLERS = ("source-controller", "kustomize-controller")
"""The controllers of Flux that can be had."""

CONTROLLERS = {**{name: name for name in REAL_CONTROLLERS}, "helm-controller": "helm-player"}
"""The program that a lab runs for each controller of Flux."""

GITOPS = (*CONTROLLERS.values(), "git-server")
"""What a lab needs besides, if its stack hands applications over."""

LAB = tuple(name for name in TOOLS if name not in (*TESTS, *GITOPS, *PODS))
"""What every running lab needs."""


BUILDS_AT_ONCE = 2
"""A build waits for downloads, and its linker uses a single core: a second one fills the gaps."""


def needed(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a lab of a stack's configuration needs."""
    return (*LAB, *(GITOPS if config.get("homelab:gitops") else ()))


def ensure(names: Iterable[str]) -> dict[str, Found]:
    """Find each named tool, or build it.

    Raises:
        LabError: if one can be neither found nor built; none is begun after that.
    """
    found = {name: TOOLS[name].find() for name in names}
    missing = [TOOLS[name].binary for name, there in found.items() if there is None]
    if missing:
        find_go()  # before the builds, which would both install it
    with ThreadPoolExecutor(BUILDS_AT_ONCE) as pool:
        try:
            building = [pool.submit(build, binary) for binary in missing]
            paths = [future.result() for future in as_completed(building)]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    built = {path.name: path for path in paths}
    return {
        name: there or Found(built[name], f"built, {TOOLS[name].binary.version()}") for name, there in found.items()
    }
