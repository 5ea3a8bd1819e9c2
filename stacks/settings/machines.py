"""The configuration of machines: the site, its hosts, the nodes, their network and Talos.

Owns names, types, bounds and defaults, as `model` does for everything else. Does not own rules between values.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from components.talos.power import DRAIN_SECONDS
from stacks.settings import types as t
from stacks.settings.base import Model

WORKER_MEMORY = 1024
"""MiB that Talos requires.

From https://docs.siderolabs.com/talos/v1.13/getting-started/system-requirements.
"""


class Host(Model):
    """One Proxmox VE node: its capacity, and where it stores disks and images."""

    cores: int = Field(ge=1)
    """CPU threads."""
    memory: int = Field(ge=1024)
    """Memory in MiB available to all VMs together, without what the host itself needs."""
    disk_datastore: t.StorageId = "local-zfs"
    """Storage for VM disks."""
    image_datastore: t.StorageId = "local"
    """Storage for the Talos image; its content types must include `import`."""
    disk: int | None = Field(default=None, ge=1)
    """GiB available to all VM disks together; if omitted, the total is not checked."""


class Site(Model):
    """The Proxmox VE site: a single host, or a cluster of hosts behind one API."""

    name: t.DnsLabel
    """Topology region of every node, and the region of the Proxmox CSI driver."""
    endpoint: t.ProxmoxEndpoint
    """URL of the API, such as https://10.0.0.2:8006/."""
    username: t.UserName | None = None
    """User that `proxmoxPassword` belongs to, such as root@pam; omit it with an API token, which includes the user."""
    ca: t.Authority | None = None
    """Certificate, in PEM, of the authority that signed the API's certificate: for the one that Proxmox made itself,
    the content of /etc/pve/pve-root-ca.pem. Read by the program's own checks and by the storage driver in the cluster;
    Pulumi's Proxmox plugin cannot be given it, and needs it among the authorities of the machine on which it runs."""
    insecure: bool = False
    """Accept any certificate from the API: in the program's own checks, in Pulumi's Proxmox plugin, and in the storage
    driver in the cluster. Whoever can answer in the API's place then gets the login and the driver's token."""
    bridge: t.Bridge = "vmbr0"
    """Bridge that every VM's network interface is attached to."""
    vlan: int | None = Field(default=None, ge=1, le=4094)
    """VLAN tag of every VM's network interface."""
    shared_image_datastores: Annotated[list[t.StorageId], t.Distinct] = []
    """Image datastores that are one and the same on every host, such as NFS; each gets the image once."""
    delete_protection: bool = False
    """Make Pulumi refuse to delete the VMs."""
    hosts: dict[t.HostName, Host] = Field(min_length=1)
    """The Proxmox VE nodes by name."""


class Cluster(Model):
    """The Kubernetes cluster's name and domain."""

    name: t.ClusterName
    """Name of the Talos and Kubernetes cluster; also part of the names of what it creates in Proxmox."""
    domain: t.ClusterDomain
    """Domain under which every service gets its host name."""


class Node(Model):
    """One VM that runs Talos. Its key is its host name."""

    role: Literal["controlplane", "worker"]
    """The node's role; control planes run etcd, so their number must be odd."""
    address: t.Address
    """The node's permanent IPv4 address, used from its first boot."""
    vm_id: int = Field(ge=100, le=999_999_999)
    """Proxmox VM ID, from 100 to 999999999; 9999 is reserved for the CSI driver."""
    mac: t.Mac
    """MAC address of the network interface, fixed so that a rebuilt VM is the same machine to the network."""
    cores: int = Field(ge=2)
    """Virtual CPU cores."""
    memory: int = Field(ge=WORKER_MEMORY)
    """Memory in MiB, fully reserved. Talos requires 2048 on a control plane and 1024 on a worker."""
    disk: int = Field(ge=10)
    """Size of the system disk in GiB. Talos requires 10."""
    host: str = Field(max_length=253)
    """The Proxmox VE node that runs it, a key of `site.hosts`."""


class Pools(Model):
    """Addresses that MetalLB assigns to services of type LoadBalancer."""

    ingress: t.Range
    """For the ingress controller."""
    dns: t.Range
    """For PowerDNS."""
    services: t.Range
    """For all other services."""


class Network(Model):
    """The nodes' network and the two networks inside the cluster."""

    subnet: t.Subnet
    """Network that contains the nodes and the virtual addresses."""
    gateway: t.Address
    """The subnet's default gateway."""
    resolvers: Annotated[list[t.Address], t.Distinct] = Field(min_length=1)
    """DNS resolvers for the nodes, outside the cluster."""
    api_vip: t.Address
    """Virtual address of the Kubernetes API, held by one control plane at a time."""
    pools: Pools
    pod_cidr: t.Network = IPv4Network("10.244.0.0/16")
    """Network for pods; each node gets a /24 of it."""
    service_cidr: t.ServiceNetwork = IPv4Network("10.96.0.0/12")
    """Network for services."""


class Versions(Model):
    """The releases that the nodes run. Chart versions are pinned in `components/kit/versions.py`."""

    talos: t.Version
    """Talos release on every node."""
    kubernetes: t.Version
    """Kubernetes release; the Talos release must support it."""


class Extensions(Model):
    """Talos system extensions in the nodes' image."""

    qemu_guest_agent: bool = True
    """Lets Proxmox see a node's addresses and shut it down."""
    tailscale: bool = False
    """Joins every node to a tailnet, in which the control planes route; see `homelab:tailscale`."""
    zfs: bool = False
    """The ZFS file system, for additional disks of a node."""
    nfs_utils: bool = False
    """NFS client with locking."""
    gvisor: bool = False
    """The gVisor container runtime, for untrusted workloads."""


class Timeouts(Model):
    """How long an `up` waits for machines, in seconds."""

    node: int = Field(default=1200, ge=10)
    """Timeout for a node's boot, installation or upgrade; the time in which an upgrade drains the node is added."""
    drain: int = Field(default=DRAIN_SECONDS, ge=10)
    """Timeout for the pods of a node that leaves the cluster: disruption budgets may hold them back."""
    api: int = Field(default=600, ge=10)
    """Timeout for etcd and the Kubernetes API after the bootstrap."""


class Talos(Model):
    """Talos on the nodes: image and machine configuration."""

    factory: t.FactoryUrl = "https://factory.talos.dev"
    """Image Factory that builds and serves the nodes' image."""
    extensions: Extensions = Extensions()
    kernel_args: Annotated[list[t.KernelArgument], t.Distinct] = []
    """Additional kernel arguments for the image."""
    install_disk: t.SystemDisk = "/dev/sda"
    """Device path of the system disk inside the node; VMs have it on the virtio-scsi bus."""
    registry_mirrors: dict[t.Registry, Annotated[list[t.MirrorUrl], t.Distinct, Field(min_length=1)]] = {}
    """Mirrors by registry (`docker.io`, or `*`), tried in order before the registry itself. One whose path begins with
    `/v2` is taken as it is, as a proxy cache of Harbor needs it."""
    host_entries: dict[t.Domain, t.Address] = {}
    """Addresses of names that the nodes themselves resolve without DNS, such as the one of a mirror."""
    kubelet_mounts: Annotated[list[t.VarPath], t.Distinct] = []
    """Directories under /var that pods may mount, in addition to those in `storage.localPaths`."""
    signed_kubelet_certificates: bool = True
    """Certificates of the kubelets' ports from the cluster's authority, which metrics-server verifies. On a cluster
    that is older than the approver: off for one `up`, then on."""
    timeouts: Timeouts = Timeouts()


class Tailscale(Model):
    """The nodes' membership in a tailnet; has an effect only with `talos.extensions.tailscale`."""

    routes: Annotated[list[t.Network], t.Distinct] = []
    """Networks that the control planes advertise."""
    tags: Annotated[list[t.TailscaleTag], t.Distinct] = []
    """Tags of the nodes, such as tag:cluster-router."""
    login_server: t.LoginServerUrl | None = None
    """URL of a Headscale server; if omitted, Tailscale's own server."""
