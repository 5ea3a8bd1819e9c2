"""What the nodes of a lab with real pods need of this machine, and what `talos-nodes` is told about them."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import debian
from lab.errors import LabError
from lab.packages import how_to_install
from lab.pods import images
from lab.programs import Found

STORE = "127.0.0.1:5000"
"""Where the images are served, in the lab's own network namespace."""

KUBELETS = "/var/lib/kubelet"
"""Where each kubelet has its root directory, in the lab's own mounts. Short: a kubelet listens on sockets below it."""

ENTER = Path(__file__).parent / "enter.sh"

SYSTEM = {
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/ip": "iproute2",
    "/usr/bin/setpriv": "util-linux",
    "/usr/sbin/mkfs.ext4": "e2fsprogs",
    "/usr/bin/mount": "mount",
}
"""Programs of this machine that containers and Services need, by the package that brings them."""

GROUP = "HOMELAB_PODS"
"""Environment variable with the control group of the namespaces that a process is in."""


def wanted() -> bool:
    """Whether PODS in the environment asks for real pods.

    Raises:
        LabError: if it has another value than `real` and `played`.
    """
    value = os.environ.get("PODS") or "played"
    if value not in ("real", "played"):
        raise LabError(f"PODS={value}: use PODS=real for pods that run, or PODS=played, the default, for those of kwok")
    return value == "real"


def refuse_without_root() -> None:
    """Say why this machine cannot run pods, if it cannot.

    Raises:
        LabError: without root, or where the kernel refuses namespaces or control groups.
    """
    if os.geteuid() != 0:
        raise LabError(
            "PODS=real needs root: containers are made of mounts, control groups and other users' processes. "
            "Run it with sudo, or leave the pods to kwok: PODS=played, which is the default"
        )
    kinds = ("--pid", "--fork", "--mount-proc", "--net", "--mount", "--ipc", "--uts")
    unshare = shutil.which("unshare")
    if unshare is None:
        raise LabError(f"PODS=real: unshare is missing: {how_to_install(['util-linux'])}")
    trial = subprocess.run([unshare, *kinds, "true"], capture_output=True, text=True, check=False)
    if trial.returncode:
        raise LabError(
            f"PODS=real: this machine allows no namespaces ({trial.stderr.strip()}). In a container give it "
            "CAP_SYS_ADMIN and CAP_NET_ADMIN, and no profile of seccomp or AppArmor that refuses mount"
        )
    if not os.access("/sys/fs/cgroup", os.W_OK) or not any(Path("/sys/fs/cgroup").iterdir()):
        raise LabError("PODS=real: /sys/fs/cgroup cannot be written. In a container mount it, and share it read-write")


def group() -> str:
    """The name of a control group that nobody else has."""
    return f"homelab-pods-{os.getpid()}-{secrets.token_hex(3)}"


def entering(name: str, command: list[str], *, stay: bool = False) -> list[str]:
    """The command that runs `command` in namespaces of its own, below the control group of that name.

    stay: they do not end with whoever started it.
    """
    return ["sh", str(ENTER), *(["--stay"] if stay else []), name, *command]


def store_command(served: Path) -> list[str]:
    """The process that serves the images which a file lists."""
    return [sys.executable, "-m", "lab.pods.store", STORE, str(served)]


def settings(tools: Mapping[str, Found], name: str, repositories: list[str]) -> dict[str, Any]:
    """What talos-nodes needs to start the nodes' processes in the namespaces of that control group.

    Raises:
        LabError: if a package is missing and cannot be installed here.
    """
    debian.ensure(SYSTEM)
    return {
        "kubelet": str(tools["kubelet"].path),
        "kubeProxy": str(tools["kube-proxy"].path),
        "networkPolicies": str(tools["network-policies"].path),
        "csiVolumes": str(tools["csi-volumes"].path),
        "containerd": str(tools["containerd"].path),
        "shim": str(tools["containerd-shim-runc-v2"].path),
        "runc": "/usr/sbin/runc",
        "cniPlugins": "/usr/lib/cni",
        "sockets": "/run/containerd",
        "kubelets": KUBELETS,
        "cgroup": f"/{name}",
        "store": STORE,
        "sandbox": f"{images.SANDBOX}:lab",
        "standIn": f"{images.STAND_IN}:lab",
        "images": images.names(repositories),
    }
