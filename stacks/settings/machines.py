"""The part of the configuration that is about machines: the site, its hosts, the nodes, their network and Talos.

Owns names, types, bounds and defaults, as `settings_model` does for everything else. Does not own rules between values.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from stacks.settings import types as t
from stacks.settings.base import Model

WORKER_MEMORY = 1024
"""MiB that Talos asks for.

From https://docs.siderolabs.com/talos/v1.13/getting-started/system-requirements.
"""


class Host(Model):
    """One Proxmox VE node: what it has, and where it keeps disks and images."""

    cores: int = Field(ge=1)
    """Processor threads."""
    memory: int = Field(ge=1024)
    """Memory in MiB that VMs may have together; leave the host's own share out."""
    disk_datastore: t.StorageId = "local-zfs"
    """Storage for the disks of VMs."""
    image_datastore: t.StorageId = "local"
    """Storage for the Talos image; its content types must include `import`."""
    disk: int | None = Field(default=None, ge=1)
    """GiB that the disks of VMs may take together; without it the sum is not checked."""


class Site(Model):
    """The Proxmox VE site, alone or a cluster of hosts under one API."""

    name: t.DnsLabel
    """Topology region of every node, and the region of the Proxmox CSI driver."""
    endpoint: t.ProxmoxEndpoint
    """URL of the API, as https://10.0.0.2:8006/."""
    username: t.UserName | None = None
    """User of `proxmoxPassword`, as root@pam; leave it out with an API token, which names its user."""
    insecure: bool = False
    """Accept any certificate of the API."""
    bridge: t.Bridge = "vmbr0"
    """Bridge of every VM's network card."""
    vlan: int | None = Field(default=None, ge=1, le=4094)
    """VLAN tag of every VM's network card."""
    delete_protection: bool = False
    """Have Pulumi refuse to delete the VMs."""
    hosts: dict[t.HostName, Host] = Field(min_length=1)
    """Every Proxmox VE node by its name."""


class Cluster(Model):
    """What the Kubernetes cluster is called."""

    name: t.ClusterName
    """Name of the Talos and Kubernetes cluster; also in the names of what it makes in Proxmox."""
    domain: t.Domain
    """Domain below which every service gets its name."""


class Node(Model):
    """One VM that runs Talos. Its key is its host name."""

    role: Literal["controlplane", "worker"]
    """What the node is; control planes hold etcd and need an odd number."""
    address: t.Address
    """The node's address for good; it has it from its first boot on."""
    vm_id: int = Field(ge=100, le=999_999_999)
    """Proxmox VM id. 100 to 999999999; 9999 belongs to the CSI driver."""
    mac: t.Mac
    """MAC address of the network card, so that a rebuilt VM is the same machine to the network."""
    cores: int = Field(ge=2)
    """Virtual cores."""
    memory: int = Field(ge=WORKER_MEMORY)
    """MiB, all of it reserved. Talos asks for 2048 on a control plane and 1024 on a worker."""
    disk: int = Field(ge=10)
    """GiB of the system disk. Talos asks for 10."""
    host: str
    """The Proxmox VE node that runs it: a key of `site.hosts`."""


class Pools(Model):
    """Addresses that MetalLB gives to services of type LoadBalancer."""

    ingress: t.Range
    """For the ingress controller."""
    dns: t.Range
    """For PowerDNS."""
    services: t.Range
    """For every other service."""


class Network(Model):
    """The network of the nodes, and the two networks inside the cluster."""

    subnet: t.Subnet
    """The network that nodes and virtual addresses share."""
    gateway: t.Address
    """The subnet's router."""
    resolvers: Annotated[list[t.Address], t.Distinct] = Field(min_length=1)
    """DNS resolvers of the nodes, outside the cluster."""
    api_vip: t.Address
    """Virtual address of the Kubernetes API, held by one control plane at a time."""
    pools: Pools
    pod_cidr: t.Network = IPv4Network("10.244.0.0/16")
    """Addresses of pods; each node takes a /24."""
    service_cidr: t.ServiceNetwork = IPv4Network("10.96.0.0/12")
    """Addresses of services."""


class Versions(Model):
    """The releases that nodes run. Those of charts are pinned beside the components that install them."""

    talos: t.Version
    """Talos on every node."""
    kubernetes: t.Version
    """Kubernetes, one that the Talos release supports."""


class Extensions(Model):
    """Talos system extensions in the nodes' image."""

    qemu_guest_agent: bool = True
    """Lets Proxmox see addresses and shut a node down."""
    tailscale: bool = False
    """Joins every node to a tailnet; see `homelab:tailscale`."""
    zfs: bool = False
    """The ZFS file system, for disks of the node's own."""
    nfs_utils: bool = False
    """NFS client with locking."""
    gvisor: bool = False
    """The gVisor container runtime, for workloads that are not trusted."""


class Timeouts(Model):
    """How long an `up` waits for machines, in seconds."""

    node: int = Field(default=1200, ge=10)
    """For a node's boot, installation or upgrade; in an upgrade it is drained first, which takes up to 6 minutes."""
    api: int = Field(default=600, ge=10)
    """For etcd and the Kubernetes API after the bootstrap."""


class Talos(Model):
    """Talos on the nodes: its image and its machine configuration."""

    factory: t.ServiceUrl = "https://factory.talos.dev"
    """Image Factory that builds and serves the nodes' image."""
    extensions: Extensions = Extensions()
    kernel_args: Annotated[list[t.KernelArgument], t.Distinct] = []
    """Further kernel arguments of the image."""
    install_disk: t.SystemDisk = "/dev/sda"
    """The system disk, as the node sees it: VMs have theirs on the virtio-scsi bus."""
    registry_mirrors: dict[t.Registry, Annotated[list[t.MirrorUrl], t.Distinct, Field(min_length=1)]] = {}
    """Mirrors by registry (`docker.io`, or `*`), tried in order before the registry itself."""
    kubelet_mounts: Annotated[list[t.VarPath], t.Distinct] = []
    """Directories under /var that pods may mount; those of `storage.localPaths` are added to them."""
    timeouts: Timeouts = Timeouts()


class Tailscale(Model):
    """The nodes in a tailnet; counts only with `talos.extensions.tailscale`."""

    routes: Annotated[list[t.Network], t.Distinct] = []
    """Networks that the control planes advertise."""
    tags: Annotated[list[t.TailscaleTag], t.Distinct] = []
    """Tags of the nodes, as tag:cluster-router."""
    login_server: t.ServiceUrl | None = None
    """URL of a Headscale server; without it, Tailscale's own."""
