"""One pool of addresses that MetalLB gives to Services, and its announcement.

Owns the IPAddressPool and the L2Advertisement, and the record of who asked for which address: a Service's annotations
come from `AddressPool.claim`, so that an address outside the pool, or one that two Services want, is found before
anything is created. Does not own the Services. Must exist before: MetalLB's release, which brings both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kit.references import ServiceAddress
from components.network.metallb import MetalLb

API = "metallb.io/v1beta1"


@dataclass(frozen=True, kw_only=True)
class AddressPoolArgs:
    """Arguments of `AddressPool`.

    first, last: its addresses, both ends included.
    auto_assign: whether a Service that names no pool may get an address from here.
    setting: the setting that gives the range, named in errors when the pool turns out to be too small.
    """

    metallb: MetalLb
    first: IPv4Address
    last: IPv4Address
    auto_assign: bool
    setting: str

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"{self.first}-{self.last} ends before it starts; give {self.last}-{self.first}")

    @property
    def size(self) -> int:
        """How many addresses the pool has."""
        return int(self.last) - int(self.first) + 1

    @property
    def spelled_out(self) -> str:
        """`first-last` even for one address: MetalLB rejects a bare address as a malformed network."""
        return f"{self.first}-{self.last}"


class AddressPool(pulumi.ComponentResource):
    """A pool; its name in the cluster is the name of the component."""

    pool_name: str
    """The value of a Service's annotation `metallb.io/address-pool`."""

    advertisement: CustomResource
    """After this, a Service with an address from here is reachable."""

    def __init__(self, name: str, args: AddressPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("homelab:network:AddressPool", name, None, opts)
        self.pool_name = name
        self._args = args
        self._held: dict[str, IPv4Address | None] = {}
        timeouts = pulumi.CustomTimeouts(create="5m", update="5m", delete="2m")
        pool = CustomResource(
            name,
            api_version=API,
            kind="IPAddressPool",
            metadata=ObjectMetaArgs(name=name, namespace=args.metallb.namespace),
            # `avoidBuggyIPs` stays off: no modern client refuses an address that ends in .0 or .255.
            spec={"addresses": [args.spelled_out], "autoAssign": args.auto_assign},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.metallb.release], custom_timeouts=timeouts),
        )
        self.advertisement = CustomResource(
            f"{name}-advertisement",
            api_version=API,
            kind="L2Advertisement",
            metadata=ObjectMetaArgs(name=name, namespace=args.metallb.namespace),
            spec={"ipAddressPools": [name]},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.metallb.release, pool], custom_timeouts=timeouts),
        )
        self.register_outputs({"pool_name": name, "addresses": args.spelled_out})

    def claim(
        self, service: str, address: IPv4Address | None = None, *, sharing_key: str | None = None
    ) -> ServiceAddress:
        """The address of `service` (namespace/name): `address`, the pool's only one, or one that MetalLB chooses.

        sharing_key: lets Services with the same key share one address, as DNS over TCP and UDP do; needs an address.

        Raises ValueError when the address is outside the pool or taken, or when the pool is exhausted.
        """
        args = self._args
        pool = f"{self.pool_name} {args.spelled_out}"
        if address is not None and not args.first <= address <= args.last:
            raise ValueError(
                f"{service}: {address} is outside {pool}; take one of its addresses, or change {args.setting}"
            )
        if address is None and args.size == 1:
            address = args.first
        if sharing_key is not None and address is None:
            raise ValueError(f"{service}: only a named address can be shared by {sharing_key!r}; name one of {pool}")
        holder = sharing_key or service
        owner = next((other for other, held in self._held.items() if held == address and other != holder), None)
        if address is not None and owner is not None:
            raise ValueError(
                f"{service}: {address} of {pool} is already {owner}'s; take another, enlarge {args.setting}, "
                "or give both Services one sharing key and different ports"
            )
        if holder not in self._held and len(self._held) == args.size:
            raise ValueError(f"{service}: {pool} is exhausted by {', '.join(self._held)}; enlarge {args.setting}")
        self._held[holder] = address
        return ServiceAddress(pool=self.pool_name, address=address, sharing_key=sharing_key, ready=self.advertisement)
