"""Releases of Talos and Kubernetes: which go together, and which ways lead from one to another.

Owns the rules about versions that Talos itself has, as plain functions. Does not ask a node: see `version_change.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

KUBERNETES_BY_TALOS: dict[tuple[int, int], tuple[int, int]] = {
    (1, 12): (30, 35),
    (1, 13): (31, 36),
}
"""First and last Kubernetes 1.x that a Talos release supports.

Each release is one whose machinery accepts this program's machine configuration, which `tests/lab/test_releases.py`
proves together with the numbers (pkg/machinery/compatibility in siderolabs/talos). Ends with the newest Talos whose
machine configuration the pinned Talos provider can generate.
"""


def minor_version(version: str) -> tuple[int, int]:
    """Major and minor number of a release such as v1.13.9, to compare two by."""
    major, minor, _ = _numbers(version)
    return major, minor


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.removeprefix("v").split("-")[0].split(".")
    return int(major), int(minor), int(patch)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The releases that a cluster runs, each by node.

    talos: of every node.
    servers: Kubernetes of the API servers, of control planes only.
    kubelets: Kubernetes of every node's kubelet.
    """

    talos: Mapping[str, str]
    servers: Mapping[str, str]
    kubelets: Mapping[str, str]


def refusals(runs: Cluster, *, talos: str, kubernetes: str) -> Iterator[str]:
    """Why a cluster must not be taken to these releases: each names the value, the rule and the next step.

    Talos goes first on every node, so that the new Talos runs for a while with the old Kubernetes.
    """
    yield from _talos_way(runs.talos, talos)
    yield from _kubernetes_way(runs.servers, kubernetes)
    yield from _together(runs, talos)


def _talos_way(running: Mapping[str, str], wanted: str) -> Iterator[str]:
    """Talos documents adjacent minor releases as the way up, and a rollback as the way down.

    https://docs.siderolabs.com/talos/v1.13/configure-your-talos-cluster/lifecycle-management/upgrading-talos
    """
    for name, version in running.items():
        distance = _distance(version, wanted)
        if distance < 0:
            yield (
                f"homelab:versions.talos: {wanted} is older than the {version} that {name} runs, and a node's state "
                f"of a newer minor release is not made for it; set {_minor(version)}, or take the node back to what it "
                f"ran before (talosctl rollback)"
            )
            return
        if distance > 1:
            yield (
                f"homelab:versions.talos: {wanted} is {distance} minor releases above the {version} that {name} runs, "
                f"and Talos is upgraded one at a time; set the newest {_minor(version, 1)} first"
            )
            return


def _kubernetes_way(servers: Mapping[str, str], wanted: str) -> Iterator[str]:
    """What talosctl upgrade-k8s accepts, counted from the oldest API server: the same minor release, or the next one.

    `IsSupported` in https://github.com/siderolabs/go-kubernetes/blob/v0.2.38/kubernetes/upgrade/path.go and
    `DetectLowestVersion` in https://github.com/siderolabs/talos/blob/v1.13.9/pkg/cluster/kubernetes/detect.go.
    """
    if not servers:
        return
    name, version = min(servers.items(), key=lambda server: _numbers(server[1]))
    distance = _distance(version, wanted)
    if distance < 0:
        yield (
            f"homelab:versions.kubernetes: {wanted} is older than the {version} that {name} runs, and Kubernetes never "
            "goes back to an earlier minor release, whose API server may not read what is in etcd; "
            f"set {_minor(version)}"
        )
    elif distance > 1:
        yield (
            f"homelab:versions.kubernetes: {wanted} is {distance} minor releases above the {version} that {name} runs, "
            f"and Kubernetes is upgraded one at a time; set the newest {_minor(version, 1)} first"
        )


def _together(runs: Cluster, talos: str) -> Iterator[str]:
    """Every Kubernetes that runs must be one of the wanted Talos, which comes first."""
    first, last = KUBERNETES_BY_TALOS[minor_version(talos)]
    for name, version in [*runs.servers.items(), *runs.kubelets.items()]:
        major, minor = minor_version(version)
        if major == 1 and minor < first:
            yield (
                f"homelab:versions.talos: {talos} supports Kubernetes from v1.{first}, and {name} runs {version}; "
                f"leave Talos at {runs.talos.get(name, 'what it is')}, and raise homelab:versions.kubernetes first, "
                "one minor release at a time"
            )
            return
        if major == 1 and minor > last:
            yield (
                f"homelab:versions.talos: {talos} supports Kubernetes up to v1.{last}, and {name} runs {version}; "
                f"leave Talos at {runs.talos.get(name, 'what it is')}"
            )
            return


def _distance(running: str, wanted: str) -> int:
    """Minor releases from one to the other; negative if it leads back."""
    (major, minor), (wanted_major, wanted_minor) = minor_version(running), minor_version(wanted)
    # No release of either has changed its major version; a change of it is no small step.
    return (wanted_major - major) * 100 + wanted_minor - minor


def _minor(version: str, above: int = 0) -> str:
    major, minor = minor_version(version)
    return f"v{major}.{minor + above}"
