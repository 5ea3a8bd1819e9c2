"""The tree of the configuration: one frozen model for each `homelab:` key of a stack file.

Owns names, types, bounds and defaults; the docstrings are what an editor shows beside a key. Does not own rules between
values (`settings_rules`), the reading of a stack (`settings`), nor any secret.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from stacks import settings_types as t


class _Model(BaseModel):
    """Frozen, camelCase on the outside, no unknown keys, and no conversion: a number in quotes is a mistake."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
    )


class Host(_Model):
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


class Site(_Model):
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


class Cluster(_Model):
    """What the Kubernetes cluster is called."""

    name: t.DnsLabel
    """Name of the Talos and Kubernetes cluster; also in the names of what it makes in Proxmox."""
    domain: t.Domain
    """Domain below which every service gets its name."""


class Node(_Model):
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
    memory: int = Field(ge=1024)
    """MiB, all of it reserved. Talos asks for 2048 on a control plane and 1024 on a worker."""
    disk: int = Field(ge=10)
    """GiB of the system disk. Talos asks for 10."""
    host: str
    """The Proxmox VE node that runs it: a key of `site.hosts`."""


class Pools(_Model):
    """Addresses that MetalLB gives to services of type LoadBalancer."""

    ingress: t.Range
    """For the ingress controller."""
    dns: t.Range
    """For PowerDNS."""
    services: t.Range
    """For every other service."""


class Network(_Model):
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


class Versions(_Model):
    """The releases that nodes run. Those of charts are pinned beside the components that install them."""

    talos: t.Version
    """Talos on every node."""
    kubernetes: t.Version
    """Kubernetes, one that the Talos release supports."""


class Extensions(_Model):
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


class Timeouts(_Model):
    """How long an `up` waits for machines, in seconds."""

    node: int = Field(default=600, ge=10)
    """For a node's boot, installation or upgrade."""
    api: int = Field(default=600, ge=10)
    """For etcd and the Kubernetes API after the bootstrap."""


class Talos(_Model):
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


class Tailscale(_Model):
    """The nodes in a tailnet; counts only with `talos.extensions.tailscale`."""

    routes: Annotated[list[t.Network], t.Distinct] = []
    """Networks that the control planes advertise."""
    tags: Annotated[list[t.TailscaleTag], t.Distinct] = []
    """Tags of the nodes, as tag:cluster-router."""
    login_server: t.ServiceUrl | None = None
    """URL of a Headscale server; without it, Tailscale's own."""


class Charts(_Model):
    """Where Helm charts come from."""

    mirror: t.ChartSource | None = None
    """A directory or URL that replaces every chart repository."""


class Storage(_Model):
    """Volumes of the cluster."""

    datastore: t.StorageId = "local-zfs"
    """Proxmox storage in which the CSI driver makes volumes."""
    on_destroy: Literal["retain", "purge"] = "retain"
    """What a destroy does with this cluster's volumes: list them, or delete them."""
    snapshots: bool = False
    """Install the snapshot controller and a class of volume snapshots, which ZFS makes."""
    local_paths: Annotated[list[t.VarPath], t.Distinct] = []
    """Directories on the nodes that hold local volumes."""


class Sealing(_Model):
    """The keypair for which secrets are sealed in git; `make sealing-key` makes it once for a stack."""

    certificate: t.Certificate | None = None
    """The public half, in PEM; `homelab:sealingKey` is the other. Without both, each new state makes a keypair."""


class Transfer(_Model):
    """Who copies the cluster's zone, besides the edge's secondary."""

    allow: Annotated[list[t.AddressOrNetwork], t.Distinct] = []
    """Addresses and networks that may transfer the zone."""
    notify: Annotated[list[t.Address], t.Distinct] = []
    """Addresses of further secondaries, which may transfer the zone and are told of each change."""


class Dns(_Model):
    """The cluster's own zone, `cluster.domain`, as the world sees it."""

    nameserver: t.Domain | None = None
    """The public name server where there is no `edge`, as the delegation names it; without it, ns1 below the domain."""
    public_address: t.Address | None = None
    """Where the world reaches the ingress if there is no `edge`, such as a router that passes ports on; without it, at
    its own address."""
    transfer: Transfer = Transfer()


class Certificates(_Model):
    """Certificates of Let's Encrypt."""

    staging: bool = True
    """Take certificates for tries, which no browser trusts; real ones are limited to five a week for the same names."""
    email: t.Email | None = None
    """Whom Let's Encrypt writes to about the account."""
    resolvers: Annotated[list[t.Address], t.Distinct] = []
    """DNS resolvers that answer for `cluster.domain` as the world's do, where those of the nodes do not."""


class Ssh(_Model):
    """How the edge host is reached for its setup. `homelab:edgeSshKey` is the private key."""

    host: t.SshHost | None = None
    """Name or address; without it, `edge.address`."""
    port: int = Field(default=22, ge=1, le=65535)
    """TCP port of the SSH server."""
    user: t.Account = "root"
    """Account there; one other than root must be allowed `sudo` without a password."""
    host_key: t.HostKey | None = None
    """The host's public key; without it, whoever answers at the address is believed."""


class Backend(_Model):
    """Where the edge sends connections of a name."""

    addresses: Annotated[list[t.Address], t.Distinct] = Field(min_length=1)
    """Addresses that take turns; one that fails is left out for a while."""
    port: int = Field(ge=1, le=65535)
    """TCP port, the same on each."""


class Tsig(_Model):
    """The key that signs zone transfers. `homelab:edgeTsigKey` is the secret, in Base64."""

    name: t.DnsLabel
    """The key's name on both servers."""
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    """Its algorithm."""


class Secondary(_Model):
    """The public name server of the cluster's domain, a PowerDNS on the edge host."""

    name: t.Domain
    """The host's name as a name server, as ns1.example.org: the domain is delegated to it."""
    address: t.Address
    """The host's address on the way to the cluster: zone transfers come from there, and NOTIFY goes there."""
    notified_by: Annotated[list[t.Network], t.Distinct] = Field(default=[IPv4Network("100.64.0.0/10")], min_length=1)
    """Networks that a NOTIFY arrives from; on its way, it loses the primary's address."""
    tsig: Tsig | None = None
    """The key for transfers; without it, they are a matter of addresses alone."""


class Edge(_Model):
    """The public host in front of the cluster. Left out, there is none, and nothing is reached from outside."""

    address: t.Address
    """The host's public IPv4 address, which DNS records of the cluster name."""
    ssh: Ssh = Ssh()
    secondary: Secondary
    sites: dict[t.ServerName, Backend] = {}
    """Further server names on port 443 and where they go; *.example.org for all below."""
    otherwise: Backend | None = None
    """Where connections of other names go; left out, they are closed."""
    ipv6: bool = True
    """Listen on IPv6 too; the host's kernel must have it."""
    headscale: bool = False
    """The host runs Headscale too: approve the cluster's routes there, and remove its nodes with the cluster."""


class User(_Model):
    """A person who signs on to services. Has no password here: `make enrol` prints a link by which they set one."""

    email: t.Email
    """Address that services know them by."""
    name: str | None = Field(default=None, min_length=1)
    """What services show; without it, the name under which they sign on."""
    groups: Annotated[list[t.DnsLabel], t.Distinct] = []
    """Groups of stacks/sso.py, each a right in one service."""
    active: bool = True
    """Whether they may sign on. Set to false rather than removed: Authentik keeps whom it knows."""


class Identity(_Model):
    """People."""

    users: dict[t.Person, User] = {}
    """Everybody who signs on, by the name with which they do; it stays theirs for good."""


class Features(_Model):
    """Switches for what costs something even when nobody uses it."""

    longhorn_v2: bool = False
    """Longhorn's V2 data engine. It polls its disks: one core of every worker is at 100 % all the time."""


class Settings(_Model):
    """A stack's configuration, complete and checked. Holds no secret."""

    site: Site
    cluster: Cluster
    nodes: dict[t.DnsLabel, Node] = Field(min_length=1)
    """The VMs of the cluster by their names; one more entry is one more machine."""
    network: Network
    versions: Versions
    talos: Talos = Talos()
    tailscale: Tailscale = Tailscale()
    charts: Charts = Charts()
    storage: Storage = Storage()
    sealing: Sealing = Sealing()
    dns: Dns = Dns()
    certificates: Certificates = Certificates()
    edge: Edge | None = None
    rotation: dict[t.DnsLabel, Annotated[int, Field(ge=2)]] = {}
    """Generation of an application secret by its name, where it is not the first; `make rotate` raises it."""
    identity: Identity = Identity()
    features: Features = Features()

    @property
    def control_planes(self) -> dict[str, Node]:
        """The control planes by name, in natural order (`cp-2` before `cp-10`).

        Pulumi hands over maps without the file's order, hence an order by name.
        """
        return self._with_role("controlplane")

    @property
    def workers(self) -> dict[str, Node]:
        """The workers by name, in natural order."""
        return self._with_role("worker")

    @property
    def first_control_plane(self) -> str:
        """Name of the control plane on which etcd is bootstrapped."""
        return next(iter(self.control_planes))

    @property
    def hosts_in_use(self) -> list[str]:
        """Names of the Proxmox VE hosts that run a node, in natural order."""
        return sorted({node.host for node in self.nodes.values()}, key=_natural)

    @property
    def schedulable(self) -> int:
        """How many nodes take ordinary pods: the workers or, where there is none, the control planes."""
        return len(self.workers) or len(self.control_planes)

    @property
    def nameserver(self) -> str:
        """The public name server of the cluster's zone, without a final dot."""
        return self.edge.secondary.name if self.edge else self.dns.nameserver or f"ns1.{self.cluster.domain}"

    @property
    def public_address(self) -> IPv4Address | None:
        """What names of the cluster resolve to, or None where the ingress itself is reached."""
        return self.edge.address if self.edge else self.dns.public_address

    @property
    def secondaries(self) -> list[IPv4Address]:
        """Addresses that are told of each change of the zone."""
        edge = [self.edge.secondary.address] if self.edge else []
        return [*edge, *(address for address in self.dns.transfer.notify if address not in edge)]

    @property
    def transfer_allow(self) -> list[IPv4Address | IPv4Network]:
        """Who may transfer the zone: those whom the settings name, and every secondary."""
        allowed = self.dns.transfer.allow
        networks = [one for one in allowed if isinstance(one, IPv4Network)]
        covered = {*allowed, *(one for one in self.secondaries if any(one in network for network in networks))}
        return [*allowed, *(one for one in self.secondaries if one not in covered)]

    @property
    def kubelet_mounts(self) -> list[str]:
        """Every directory that a kubelet must mount: the listed ones and those of local volumes, sorted."""
        return sorted({*self.talos.kubelet_mounts, *self.storage.local_paths})

    def _with_role(self, role: str) -> dict[str, Node]:
        names = sorted((name for name, node in self.nodes.items() if node.role == role), key=_natural)
        return {name: self.nodes[name] for name in names}


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that orders numbers inside names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
