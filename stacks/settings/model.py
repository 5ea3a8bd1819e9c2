"""The tree of the configuration: one frozen model for each `homelab:` key of a stack file.

Owns names, types, bounds and defaults; the docstrings are what an editor shows beside a key. The models of machines and
their network are in `settings_machines`. Does not own rules between values (`settings_rules`), the reading of a stack
(`settings`), nor any secret.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from stacks.settings import types as t
from stacks.settings.base import Model
from stacks.settings.machines import Cluster, Network, Node, Site, Tailscale, Talos, Versions


class Charts(Model):
    """Where Helm charts come from."""

    mirror: t.ChartSource | None = None
    """A directory or URL that replaces every chart repository."""


SNAPSHOT_USER = "root@pam"
"""The one user whom Proxmox lets copy a volume; not even its API tokens may."""


class Storage(Model):
    """Volumes of the cluster."""

    datastore: t.StorageId = "local-zfs"
    """Proxmox storage in which the CSI driver makes volumes."""
    on_destroy: Literal["retain", "purge"] = "retain"
    """What a destroy does with this cluster's volumes: list them, or delete them."""
    snapshots: bool = False
    """Install the snapshot controller and a class of volume snapshots. Each is a full copy of its volume, and Proxmox's
    root password then lies in the cluster in place of a token with few rights, as root alone may make one."""
    local_paths: Annotated[list[t.VarPath], t.Distinct] = []
    """Directories on the nodes that hold local volumes."""


class Sealing(Model):
    """The keypair for which secrets are sealed in git; `make sealing-key` makes it once for a stack."""

    certificate: t.Certificate | None = None
    """The public half, in PEM; `homelab:sealingKey` is the other. Without both, each new state makes a keypair."""


class Transfer(Model):
    """Who copies the cluster's zone, besides the edge's secondary."""

    allow: Annotated[list[t.AddressOrNetwork], t.Distinct] = []
    """Addresses and networks that may transfer the zone."""
    notify: Annotated[list[t.Address], t.Distinct] = []
    """Addresses of further secondaries, which may transfer the zone and are told of each change."""


class Dns(Model):
    """The cluster's own zone, `cluster.domain`, as the world sees it."""

    nameserver: t.Domain | None = None
    """The public name server where there is no `edge`, as the delegation names it; without it, ns1 below the domain."""
    public_address: t.Address | None = None
    """Where the world reaches the ingress if there is no `edge`, such as a router that passes ports on; without it, at
    its own address."""
    transfer: Transfer = Transfer()


class Certificates(Model):
    """Certificates of Let's Encrypt."""

    staging: bool = True
    """Take certificates for tries, which no browser trusts; real ones are limited to five a week for the same names."""
    email: t.Email | None = None
    """Whom Let's Encrypt writes to about the account."""
    resolvers: Annotated[list[t.Address], t.Distinct] = []
    """DNS resolvers that answer for `cluster.domain` as the world's do, where those of the nodes do not."""


class Ssh(Model):
    """How the edge host is reached for its setup. `homelab:edgeSshKey` is the private key."""

    host: t.SshHost | None = None
    """Name or address; without it, `edge.address`."""
    port: int = Field(default=22, ge=1, le=65535)
    """TCP port of the SSH server."""
    user: t.Account = "root"
    """Account there; one other than root must be allowed `sudo` without a password."""
    host_key: t.HostKey | None = None
    """The host's public key; without it, whoever answers at the address is believed."""


class Backend(Model):
    """Where the edge sends connections of a name."""

    addresses: Annotated[list[t.Address], t.Distinct] = Field(min_length=1)
    """Addresses that take turns; one that fails is left out for a while."""
    port: int = Field(ge=1, le=65535)
    """TCP port, the same on each."""


class Tsig(Model):
    """The key that signs zone transfers. `homelab:edgeTsigKey` is the secret, in Base64."""

    name: t.DnsLabel
    """The key's name on both servers."""
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    """Its algorithm."""


class Secondary(Model):
    """The public name server of the cluster's domain, a PowerDNS on the edge host."""

    name: t.Domain
    """The host's name as a name server, as ns1.example.org: the domain is delegated to it."""
    address: t.Address
    """The host's address on the way to the cluster: zone transfers come from there, and NOTIFY goes there."""
    notified_by: Annotated[list[t.Network], t.Distinct] = Field(default=[IPv4Network("100.64.0.0/10")], min_length=1)
    """Networks that a NOTIFY arrives from; on its way, it loses the primary's address."""
    tsig: Tsig | None = None
    """The key for transfers; without it, they are a matter of addresses alone."""


class Edge(Model):
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


class User(Model):
    """A person who signs on to services. Has no password here: `make enrol` prints a link by which they set one."""

    email: t.Email
    """Address that services know them by."""
    name: str | None = Field(default=None, min_length=1)
    """What services show; without it, the name under which they sign on."""
    groups: Annotated[list[t.DnsLabel], t.Distinct] = []
    """Groups of stacks/sso.py, each a right in one service."""
    active: bool = True
    """Whether they may sign on. Set to false rather than removed: Authentik keeps whom it knows."""


class Identity(Model):
    """People."""

    users: dict[t.Person, User] = {}
    """Everybody who signs on, by the name with which they do; it stays theirs for good."""


class Features(Model):
    """Switches for what costs something even when nobody uses it."""

    longhorn_v2: bool = False
    """Longhorn with its V2 data engine, for volumes that outlive a host. Takes of every worker, used or not, two cores
    at 100 %, 2 GiB of memory and a raw disk of 100 GiB; a worker needs six cores."""


class Settings(Model):
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
