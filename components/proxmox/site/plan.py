"""What the settings demand of a site, as its checks need it. Owns nothing; must exist before: nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from components.proxmox.vm_update import PlannedVm


@dataclass(frozen=True)
class PlannedHost:
    """One Proxmox host of the settings.

    cores: threads; memory: MiB for all VMs; both are what the settings claim, None if they need not be there.
    datastores: those that must exist, each with the content types that it must take.
    """

    datastores: Mapping[str, Sequence[str]] = field(default_factory=dict)
    cores: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class PlannedAccount:
    """Role and user of one name that the stack makes in Proxmox.

    comment: of the user; it says whose the account is. privileges: of the role. paths: where they are granted.
    """

    name: str
    comment: str
    privileges: Sequence[str]
    paths: Sequence[str]


@dataclass(frozen=True)
class PlannedAddresses:
    """Addresses that nothing may use yet.

    key: the setting that has them. first, last: the range. ports: TCP ports on which a user of them might answer.
    """

    key: str
    first: IPv4Address
    last: IPv4Address
    ports: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class PlannedSite:
    """What one stack demands of its site.

    tag: what marks its VMs, and the name of their pool. vms: by name.
    hosts: those that run a node. shared: datastores for images that are one and the same on every host.
    reserved: ids that no guest may have, each with the reason.
    bridge, vlan: of every VM's network; None if there is none to be checked.
    account: what is made for the storage driver, if anything.
    volumes: the datastore of the volumes.
    addresses: those of the stack as a whole; the nodes' are in `vms`.
    nobody: an address of their network that no machine can have, such as its broadcast address.
    """

    tag: str
    vms: Mapping[str, PlannedVm] = field(default_factory=dict)
    hosts: Mapping[str, PlannedHost] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    reserved: Mapping[int, str] = field(default_factory=dict)
    bridge: str | None = None
    vlan: int | None = None
    account: PlannedAccount | None = None
    volumes: str | None = None
    addresses: Sequence[PlannedAddresses] = ()
    nobody: IPv4Address | None = None

    @property
    def pool_comment(self) -> str:
        """What marks the pool of this stack's VMs."""
        return f"VMs of {self.tag}, managed by Pulumi"

    def on(self, host: str) -> PlannedSite:
        """What one host must have, for a stack that is there already and grows onto it."""
        return replace(
            self,
            vms={name: vm for name, vm in self.vms.items() if vm.host == host},
            hosts={name: each for name, each in self.hosts.items() if name == host},
            account=None,
            volumes=None,
            addresses=(),
        )
