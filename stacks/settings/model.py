"""The configuration tree: one frozen model for each `homelab:` key of a stack file.

Owns names, types, bounds and defaults; the docstrings are the help that an editor shows for a key. The models of
machines and their network are in `machines`. Does not own rules between values (`rules`), reading a stack's
configuration (`load`), nor any secret.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from components.storage import longhorn_node
from stacks.settings import git
from stacks.settings import types as t
from stacks.settings.base import Model
from stacks.settings.machines import Cluster, Network, Node, Site, Tailscale, Talos, Versions


class Charts(Model):
    """Where Helm charts come from."""

    mirror: t.ChartSource | None = None
    """A directory or URL that replaces every chart repository."""


SNAPSHOT_USER = "root@pam"
"""The only user whom Proxmox allows to copy a volume; not even its API tokens may do so."""


class Storage(Model):
    """The cluster's volumes."""

    datastore: t.StorageId = "local-zfs"
    """Proxmox storage in which the CSI driver creates volumes, on each host that runs a node. The driver's token may
    delete any guest's disk there, so it should hold nothing but volumes (docs/operations.md)."""
    on_destroy: Literal["retain", "purge"] = "retain"
    """What a destroy does with this cluster's volumes: keep and list them, or delete them."""
    snapshots: bool = False
    """Install the snapshot controller and a VolumeSnapshotClass. Each snapshot is a full copy of its volume. As only
    root may create one, Proxmox's root password then lies in the cluster in place of a token with few privileges."""
    local_paths: Annotated[list[t.VarPath], t.Distinct] = []
    """Directories on the nodes that contain local volumes."""


class Sealing(Model):
    """The keypair for sealed secrets in git; `make sealing-key` creates it, once per stack."""

    certificate: t.Certificate | None = None
    """Certificate in PEM; `homelab:sealingKey` is its private key. Without both, each new state gets a new keypair."""


class Transfer(Model):
    """Who may transfer the cluster's zone, in addition to the edge's secondary."""

    allow: Annotated[list[t.AddressOrNetwork], t.Distinct] = []
    """Addresses and networks that may transfer the zone."""
    notify: Annotated[list[t.Address], t.Distinct] = []
    """Addresses of additional secondaries, which may transfer the zone and are notified of each change."""


class Dns(Model):
    """The cluster's own zone, `cluster.domain`, as seen from the internet."""

    nameserver: t.Domain | None = None
    """Without `edge`: the public name server that the delegation points to; by default ns1 under the domain."""
    public_address: t.Address | None = None
    """Without `edge`: the public address of the ingress, such as that of a router that forwards ports; by default the
    ingress's own address."""
    transfer: Transfer = Transfer()


class Certificates(Model):
    """Who signs the certificates that people's browsers verify."""

    acme: bool = True
    """Ask Let's Encrypt. If false, the cluster's own authority signs them all: for a site whose names nobody outside
    resolves; browsers trust it once its certificate is installed on each device."""
    staging: bool = True
    """Use staging certificates, which no browser trusts; real ones are limited to five a week per set of names."""
    email: t.Email | None = None
    """E-mail address of the Let's Encrypt account."""
    resolvers: Annotated[list[t.Address], t.Distinct] = []
    """DNS resolvers that answer for `cluster.domain` as public ones do, needed if those of the nodes do not."""


class Ssh(Model):
    """SSH access to set up the edge host. `homelab:edgeSshKey` is the private key."""

    host: t.SshHost | None = None
    """Name or address; by default `edge.address`."""
    port: int = Field(default=22, ge=1, le=65535)
    """TCP port of the SSH server."""
    user: t.Account = "root"
    """User account; unless it is root, it needs `sudo` without a password."""
    host_key: t.HostKey | None = None
    """The host's public key. A preview does without it; `pulumi up` trusts no server whose key it does not know."""


class Backend(Model):
    """Where the edge forwards connections for a name."""

    addresses: Annotated[list[t.Address], t.Distinct] = Field(min_length=1)
    """Addresses used in turn; one that fails is skipped for a while."""
    port: int = Field(ge=1, le=65535)
    """TCP port, the same at each address."""


class Tsig(Model):
    """The key that signs zone transfers. `homelab:edgeTsigKey` is the secret, in Base64."""

    name: t.DnsLabel
    """The key's name on both servers."""
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    """The key's algorithm."""


class Secondary(Model):
    """The public name server of the cluster's domain: PowerDNS on the edge host."""

    name: t.Domain
    """The name of the name server, such as ns1.example.org: the domain is delegated to it."""
    address: t.Address
    """The host's address as seen from the cluster: zone transfers come from it, and NOTIFY messages go to it."""
    notified_by: Annotated[list[t.Network], t.Distinct] = Field(default=[IPv4Network("100.64.0.0/10")], min_length=1)
    """Networks from which NOTIFY messages are accepted; address translation hides the primary's own address."""
    tsig: Tsig | None = None
    """The key for transfers. A preview does without it; `pulumi up` does not authorise transfers by address alone."""


class Edge(Model):
    """The public host in front of the cluster. If omitted, nothing is reachable from outside."""

    address: t.Address
    """The host's public IPv4 address, which the cluster's DNS records point to."""
    ssh: Ssh = Ssh()
    secondary: Secondary
    sites: dict[t.ServerName, Backend] = {}
    """Additional server names on port 443 and their backends; *.example.org covers all names below it."""
    otherwise: Backend | None = None
    """Backend for connections to any other name; if omitted, they are closed."""
    ipv6: bool = True
    """Also listen on IPv6; the host's kernel must support it."""
    headscale: bool = False
    """The host also runs Headscale: approve the cluster's routes there, and remove its nodes with the cluster."""


class User(Model):
    """A person who signs on to services. No password is stored here: `make enrol` prints a link for setting one."""

    email: t.Email
    """E-mail address by which services identify the person."""
    name: str | None = Field(default=None, min_length=1)
    """Display name in services; by default the name with which they sign on."""
    groups: Annotated[list[t.DnsLabel], t.Distinct] = []
    """Groups defined in stacks/sso.py; each grants a role in one service."""
    active: bool = True
    """Whether they may sign on. Set it to false instead of removing the entry: Authentik keeps users it knows."""


class Identity(Model):
    """The people who use the platform."""

    users: dict[t.Person, User] = {}
    """Users by sign-on name. Never reuse a name for another person."""


class Gitops(Model):
    """The Git repository of the applications, which Flux deploys. If omitted, the cluster has neither."""

    seed: git.Url
    """URL of the repository outside the cluster, from which every new cluster starts. One that begins with ssh:// is
    read with `homelab:gitDeployKey`; any other must be readable by everybody."""
    host_key: t.HostKey | None = None
    """Public key of the SSH server in `seed`; by default that of `edge.ssh`, if it is the same host."""
    source: Literal["seed", "self"] = "seed"
    """Where Flux reads: the seed, or the cluster's own Gitea, once that has the same commits (docs/gitops.md)."""
    own: git.Url = "http://gitea-http.gitea.svc.cluster.local:3000/homelab/homelab.git"
    """URL of the same repository in the cluster's own Gitea."""
    branch: git.Branch = "main"
    """The branch that is deployed."""
    path: git.Folder = "./gitops"
    """The folder whose kustomization.yaml lists the applications."""
    chart_mirror: t.MirrorUrl | None = None
    """URL of one Helm repository that replaces that of every HelmRepository; by default `charts.mirror`, if it is one
    that the cluster can read."""

    @property
    def over_ssh(self) -> bool:
        """Whether the seed is read with a key."""
        return self.seed.startswith("ssh://")


class Registry(Model):
    """The registry in the cluster, Harbor, which is one of the applications (docs/registry.md)."""

    mirrors: bool = False
    """Nodes ask it first for images of public registries, and those themselves where it does not answer. Turn it on
    once Harbor runs; the nodes take the setting one by one."""


class Features(Model):
    """Switches for features that consume resources even when unused."""

    longhorn_v2: bool = False
    """Longhorn with its V2 data engine, for volumes that survive the loss of a host. On every worker it occupies two
    cores at 100 %, 2 GiB of memory and a raw disk of 100 GiB, used or not; a worker needs six cores."""


class Settings(Model):
    """A stack's configuration, complete and checked. Contains no secrets."""

    site: Site
    cluster: Cluster
    nodes: dict[t.DnsLabel, Node] = Field(min_length=1)
    """The cluster's VMs by name; each entry is one machine."""
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
    """Generations of application secrets by name, where not the first; raised by `make rotate`."""
    identity: Identity = Identity()
    gitops: Gitops | None = None
    registry: Registry = Registry()
    features: Features = Features()

    @property
    def control_planes(self) -> dict[str, Node]:
        """The control planes by name, in natural order (`cp-2` before `cp-10`).

        Pulumi does not preserve the file's order of maps, hence an order by name.
        """
        return self._with_role("controlplane")

    @property
    def workers(self) -> dict[str, Node]:
        """The workers by name, in natural order."""
        return self._with_role("worker")

    @property
    def hosts_in_use(self) -> list[str]:
        """Names of the Proxmox VE hosts that run a node, in natural order."""
        return sorted({node.host for node in self.nodes.values()}, key=_natural)

    @property
    def schedulable(self) -> int:
        """The number of nodes that run ordinary pods: the workers or, if there are none, the control planes."""
        return len(self.workers) or len(self.control_planes)

    @property
    def nameserver(self) -> str:
        """The public name server of the cluster's zone, without a trailing dot."""
        return self.edge.secondary.name if self.edge else self.dns.nameserver or f"ns1.{self.cluster.domain}"

    @property
    def public_address(self) -> IPv4Address | None:
        """The address that the cluster's names resolve to; None if they resolve to the ingress itself."""
        return self.edge.address if self.edge else self.dns.public_address

    @property
    def private_authority(self) -> bool:
        """Whether the cluster's own authority signs what clients must be able to verify.

        It does where Let's Encrypt is not asked, or issues staging certificates, which nobody should trust.
        """
        return self.certificates.staging or not self.certificates.acme

    @property
    def secondaries(self) -> list[IPv4Address]:
        """Addresses that are notified of each change of the zone."""
        edge = [self.edge.secondary.address] if self.edge else []
        return [*edge, *(address for address in self.dns.transfer.notify if address not in edge)]

    @property
    def transfer_allow(self) -> list[IPv4Address | IPv4Network]:
        """Who may transfer the zone: those listed in the settings, and every secondary."""
        allowed = self.dns.transfer.allow
        networks = [one for one in allowed if isinstance(one, IPv4Network)]
        covered = {*allowed, *(one for one in self.secondaries if any(one in network for network in networks))}
        return [*allowed, *(one for one in self.secondaries if one not in covered)]

    @property
    def seed_host_key(self) -> str | None:
        """The public key of the SSH server that has the repository of the applications, as far as it is known."""
        if self.gitops is None or not self.gitops.over_ssh:
            return None
        edge = self.edge
        if self.gitops.host_key is None and edge is not None:
            seed = urlsplit(self.gitops.seed)
            if (seed.hostname, seed.port or 22) == (edge.ssh.host or str(edge.address), edge.ssh.port):
                return edge.ssh.host_key
        return self.gitops.host_key

    @property
    def kubelet_mounts(self) -> list[str]:
        """Every directory that a kubelet must mount: the listed ones and those of local volumes, sorted."""
        return sorted({*self.talos.kubelet_mounts, *self.storage.local_paths})

    def data_disk(self, node: Node) -> int | None:
        """GiB of the raw disk that a node has besides its system disk, if any."""
        return longhorn_node.DISK if self.features.longhorn_v2 and node.role == "worker" else None

    def _with_role(self, role: str) -> dict[str, Node]:
        names = sorted((name for name, node in self.nodes.items() if node.role == role), key=_natural)
        return {name: self.nodes[name] for name in names}


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that orders numbers inside names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
