"""What a lab says at its end: where things are, and what of it was real."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from components.kit.ports import KUBERNETES_API
from lab.plugins.selection import LANGUAGE_HOST, STAND_INS
from lab.programs import REAL_CONTROLLERS, Found

if TYPE_CHECKING:
    from lab.preparation import Lab

_KUBERNETES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def summary(lab: Lab, seconds: Mapping[str, float], ran: list[tuple[str, str]] | None = None) -> str:
    """The table that `make lab` and `make rehearse` print; `ran` is each workload, and what its pods were."""
    settings = lab.settings
    nodes = sorted(settings.nodes.items(), key=lambda item: (item[1].role, item[0]))
    sections: list[tuple[str, list[tuple[str, str]]]] = [
        (
            "endpoints",
            [
                ("Proxmox VE", settings.site.endpoint),
                ("Talos", " ".join(str(node.address) for node in settings.control_planes.values())),
                ("Kubernetes API", f"https://{settings.network.api_vip}:{KUBERNETES_API}"),
                ("image factory", lab.hardware.factory),
            ],
        ),
        ("nodes", [(name, f"{node.address}  {node.role}, VM {node.vm_id} on {node.host}") for name, node in nodes]),
        ("what was real", list(reality(lab.programs, bool(lab.hardware.pods)))),
        ("workloads", ran or []),
        ("replaced for the lab", list(lab.replaced.items())),
        ("seconds", [(stage, f"{value:.1f}") for stage, value in seconds.items()]),
    ]
    return "\n".join(_section(title, rows) for title, rows in sections if rows)


def reality(programs: Mapping[str, Found], real_pods: bool = False) -> Iterable[tuple[str, str]]:
    """Each part and whether it was real, played, or a stand-in."""
    yield "Pulumi engine", f"real ({programs['pulumi'].origin})"
    yield "Python language host", programs[LANGUAGE_HOST].origin
    for provider, binary in STAND_INS.items():
        yield f"provider {provider}", programs[binary.name].origin
    yield "Proxmox VE", "simulated"
    yield "Talos nodes", "simulated, with Talos's own configuration checks and PKI"
    yield "edge host", "SSH is real; the programs sent to it are recorded, not run"
    yield "Kubernetes", f"real ({', '.join(_KUBERNETES)})"
    if real_pods:
        yield "kubelets, pods", "real on the workers where the lab has the image; kwok plays those of control planes"
    else:
        yield "kubelets, pods", "played by kwok"
    if "git-server" in programs:
        yield "Git server", "real Git, behind the lab's own SSH and HTTP"
        yield "Flux", f"real ({', '.join(REAL_CONTROLLERS)}); its operator is played, and so are its other controllers"
    if real_pods:
        yield (
            "network, disks",
            "one bridge, kube-proxy in Cilium's place, NetworkPolicies between pods; a file a volume",
        )
    else:
        yield "network, disks", "none: addresses of this machine's loopback device"


def _section(title: str, rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    width = max(len(row[0]) for row in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])
