"""Patches of the Talos machine configuration: small builders, one concern each.

Owns what a configuration sets beyond Talos's defaults. Does not talk to a machine and makes no resource: the results
are plain documents that `TalosCluster` gives to the provider, which merges them into the generated configuration.
Each builder returns one document; its docstring links the reference it follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import yaml

Document = dict[str, Any]

KUBEPRISM_PORT = 7445
"""Talos's default port of KubePrism (talos/pkg/machinery/constants)."""

LINK = "net0"
"""Our alias for a node's only network interface, found by its MAC address: kernel names depend on the PCI layout."""

REGION_LABEL = "topology.kubernetes.io/region"
ZONE_LABEL = "topology.kubernetes.io/zone"

_API_PATH = re.compile(r"/v2(/|$)")
"""In the URL of a registry: where its API begins."""

ETCD_METRICS_PORT = 2381
"""The port that Talos's and etcd's own documentation use for it."""


def render(documents: Iterable[Document]) -> list[str]:
    """Each document as YAML, with its keys in their original order."""
    return [yaml.safe_dump(document, sort_keys=False) for document in documents]


def hostname(name: str) -> Document:
    """A fixed host name; `auto: off` replaces the generated document's `auto: stable`.

    https://www.talos.dev/v1.13/reference/configuration/network/hostnameconfig/
    """
    return {"apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off", "hostname": name}


def link_alias(mac: str) -> Document:
    """Names the interface with MAC address `mac` `LINK`, so that other documents can refer to it.

    https://www.talos.dev/v1.13/reference/configuration/network/linkaliasconfig/
    """
    match = f'mac(link.permanent_addr) == "{mac.lower()}"'
    return {"apiVersion": "v1alpha1", "kind": "LinkAliasConfig", "name": LINK, "selector": {"match": match}}


def api_vip(address: IPv4Address) -> Document:
    """The shared address of the Kubernetes API, held by one control plane at a time (needs etcd to elect it).

    https://www.talos.dev/v1.13/reference/configuration/network/layer2vipconfig/
    """
    return {"apiVersion": "v1alpha1", "kind": "Layer2VIPConfig", "name": str(address), "link": LINK}


def install(*, disk: str, image: str) -> Document:
    """Where Talos is installed, and the installer image that `upgrade` uses."""
    return {"machine": {"install": {"disk": disk, "image": image, "wipe": False}}}


def pod_network(*, pods: IPv4Network, services: IPv4Network) -> Document:
    """Address ranges of pods and Services; no CNI and no kube-proxy, because Cilium is both."""
    return {
        "cluster": {
            "network": {"cni": {"name": "none"}, "podSubnets": [str(pods)], "serviceSubnets": [str(services)]},
            "proxy": {"disabled": True},
        }
    }


def no_cluster_dns() -> Document:
    """No CoreDNS of Talos's own: `network/core_dns.py` installs it; for control planes.

    https://www.talos.dev/v1.13/reference/configuration/v1alpha1/config/#Config.cluster.coreDNS
    """
    return {"cluster": {"coreDNS": {"disabled": True}}}


def kubeprism() -> Document:
    """A load balancer for all API servers on every node's localhost, so that the CNI needs neither VIP nor DNS."""
    return {"machine": {"features": {"kubePrism": {"enabled": True, "port": KUBEPRISM_PORT}}}}


def addresses(subnet: IPv4Network) -> Document:
    """Keeps kubelet on the site's subnet, whatever other addresses (such as Tailscale's) a node has."""
    return {"machine": {"kubelet": {"nodeIP": {"validSubnets": [str(subnet)]}}}}


def etcd_addresses(subnet: IPv4Network) -> Document:
    """Keeps etcd on the site's subnet; for control planes."""
    return {"cluster": {"etcd": {"advertisedSubnets": [str(subnet)]}}}


def api_certificate(names: Sequence[str]) -> Document:
    """Additional names and addresses in the API server's certificate; for control planes."""
    return {"cluster": {"apiServer": {"certSANs": list(names)}}}


def ordinary_pods_on_control_planes() -> Document:
    """Lets control planes run ordinary pods, and MetalLB announce from them; for a cluster without workers.

    https://www.talos.dev/v1.13/talos-guides/howto/workers-on-controlplane/
    """
    return {"cluster": {"allowSchedulingOnControlPlanes": True}}


def topology(*, region: str, zone: str, vm_id: int) -> Document:
    """Region (the Proxmox cluster) and zone (the Proxmox node) as labels, and the id by which Proxmox CSI and the
    Proxmox cloud controller know the VM: `proxmox://<region>/<vm id>`.
    """
    return {
        "machine": {
            "nodeLabels": {REGION_LABEL: region, ZONE_LABEL: zone},
            "kubelet": {"extraArgs": {"provider-id": f"proxmox://{region}/{vm_id}"}},
        }
    }


def kubelet_mounts(paths: Sequence[str]) -> Document:
    """Host directories to mount into kubelet: it runs in a container and otherwise sees only /var/lib/kubelet."""
    mounts = [
        {"destination": path, "type": "bind", "source": path, "options": ["bind", "rshared", "rw"]} for path in paths
    ]
    return {"machine": {"kubelet": {"extraMounts": mounts}}}


def signed_kubelet_certificate() -> Document:
    """Has kubelet ask the cluster for the certificate of its port, instead of signing its own.

    It takes no connection until somebody approves the request: `network/kubelet_certificates.py`.
    https://www.talos.dev/v1.13/kubernetes-guides/configuration/deploy-metrics-server/
    """
    return {"machine": {"kubelet": {"extraArgs": {"rotate-server-certificates": "true"}}}}


def kernel(*, modules: Sequence[str], sysctls: Mapping[str, str]) -> Document:
    """Kernel modules to load and sysctls to set."""
    return {"machine": {"kernel": {"modules": [{"name": m} for m in modules]}, "sysctls": dict(sysctls)}}


def registry_mirror(registry: str, endpoints: Sequence[str]) -> Document:
    """Pull images of `registry` from `endpoints` first, and from the registry itself when they do not answer.

    containerd adds `/v2` to an endpoint. One that has it already, such as the proxy cache of a Harbor
    (`https://registry.example.org/v2/docker.io`), is taken as it is: with a second one every pull would fall back.
    https://www.talos.dev/v1.13/reference/configuration/cri/registrymirrorconfig/
    """
    urls = [
        {"url": endpoint, **({"overridePath": True} if _API_PATH.search(endpoint) else {})} for endpoint in endpoints
    ]
    kind = "RegistryMirrorConfig"
    return {"apiVersion": "v1alpha1", "kind": kind, "name": registry, "endpoints": urls, "skipFallback": False}


def host_entries(addresses: Mapping[str, IPv4Address]) -> list[Document]:
    """Names that a node itself resolves without a name server; its pods do not see them.

    https://www.talos.dev/v1.13/reference/configuration/network/statichostconfig/
    """
    by_address: dict[IPv4Address, list[str]] = {}
    for name, address in addresses.items():
        by_address.setdefault(address, []).append(name)
    return [
        {"apiVersion": "v1alpha1", "kind": "StaticHostConfig", "name": str(address), "hostnames": sorted(names)}
        for address, names in sorted(by_address.items())
    ]


def control_plane_metrics(address: IPv4Address) -> Document:
    """Metrics of etcd, controller-manager and scheduler at the node's address; for control planes.

    etcd's port has nothing but metrics and health, and no TLS. The other two keep theirs and ask who calls; they listen
    everywhere, because the kubelet's probes come to localhost.
    https://www.talos.dev/v1.13/kubernetes-guides/configuration/etcd-metrics/
    """
    everywhere = {"extraArgs": {"bind-address": "0.0.0.0"}}  # noqa: S104
    return {
        "cluster": {
            "etcd": {"extraArgs": {"listen-metrics-urls": f"http://{address}:{ETCD_METRICS_PORT}"}},
            "controllerManager": everywhere,
            "scheduler": everywhere,
        }
    }


def tailscale(*, routes: Sequence[IPv4Network], tags: Sequence[str], login_server: str | None) -> Document:
    """Settings of the Tailscale extension on a node that routes for the tailnet.

    Without the key that lets a node join (`tailscale_auth_key`).
    https://www.talos.dev/v1.13/reference/configuration/extensions/extensionserviceconfig/ and
    https://tailscale.com/kb/1282/docker for the variables.
    """
    advertised = [f"TS_ROUTES={','.join(map(str, routes))}"] if routes else []
    return _tailscale_environment(["TS_USERSPACE=false", *advertised, *_membership(tags, login_server)])


def tailscale_aside(*, tags: Sequence[str], login_server: str | None) -> Document:
    """Settings of the Tailscale extension on a node that is only a member: no device, no rules for packets.

    Tailscale's rules in the kernel mark packets with bits in which Cilium has the identity of a pod
    (https://github.com/cilium/cilium/issues/36104, open). Such a node runs the extension nevertheless: all nodes boot
    from one image, and Talos reboots a node with an extension that does not start for want of settings
    (https://github.com/siderolabs/talos/issues/12145, https://github.com/siderolabs/talos/issues/12764).
    """
    return _tailscale_environment(["TS_USERSPACE=true", *_membership(tags, login_server)])


def tailscale_auth_key(key: str) -> Document:
    """The key with which a new node joins the tailnet; merged into the document of `tailscale`."""
    return _tailscale_environment([f"TS_AUTHKEY={key}"])


def _membership(tags: Sequence[str], login_server: str | None) -> list[str]:
    """The variables for joining."""
    extra = ["--advertise-tags=" + ",".join(tags)] if tags else []
    extra += [f"--login-server={login_server}"] if login_server is not None else []
    return ["TS_AUTH_ONCE=true", *(["TS_EXTRA_ARGS=" + " ".join(extra)] if extra else [])]


def _tailscale_environment(environment: list[str]) -> Document:
    kind = "ExtensionServiceConfig"
    return {"apiVersion": "v1alpha1", "kind": kind, "name": "tailscale", "environment": environment}
