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

from components.kit.address_range import AddressRange
from components.kit.references import ServiceAddress
from components.network.metallb import MetalLb

API = "metallb.io/v1beta1"


@dataclass(frozen=True, kw_only=True)
class AddressPoolArgs:
    """Arguments of `AddressPool`.

    auto_assign: whether a Service that names no pool may get an address from here.
    setting: the setting that gives the range, named in errors when the pool turns out to be too small.
    """

    metallb: MetalLb
    addresses: AddressRange
    auto_assign: bool
    setting: str


class AddressPool(pulumi.ComponentResource):
    """A pool; its name in the cluster is the name of the component."""

    pool_name: str
    """The value of a Service's annotation `metallb.io/address-pool`."""

    ready: CustomResource
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
            # `avoidBuggyIPs` stays off: no client of today refuses an address that ends in .0 or .255.
            spec={"addresses": [args.addresses.spelled_out], "autoAssign": args.auto_assign},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.metallb.ready], custom_timeouts=timeouts),
        )
        self.ready = CustomResource(
            f"{name}-advertisement",
            api_version=API,
            kind="L2Advertisement",
            metadata=ObjectMetaArgs(name=name, namespace=args.metallb.namespace),
            spec={"ipAddressPools": [name]},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.metallb.ready, pool], custom_timeouts=timeouts),
        )
        self.register_outputs({"pool_name": name, "addresses": args.addresses.spelled_out})

    def claim(self, service: str, address: IPv4Address | None = None) -> ServiceAddress:
        """The address of `service` (namespace/name): `address`, the pool's only one, or one that MetalLB chooses.

        Raises ValueError when the address is outside the pool or another's, or when the pool has no more.
        """
        args = self._args
        pool = f"{self.pool_name} {args.addresses.spelled_out}"
        if address is not None and address not in args.addresses:
            raise ValueError(
                f"{service}: {address} is outside {pool}; take one of its addresses, or change {args.setting}"
            )
        if address is None and args.addresses.size == 1:
            address = args.addresses.first
        owner = next((other for other, held in self._held.items() if held == address and other != service), None)
        if address is not None and owner is not None:
            raise ValueError(
                f"{service}: {address} of {pool} is already {owner}'s; take another, or enlarge {args.setting}"
            )
        if service not in self._held and len(self._held) == args.addresses.size:
            raise ValueError(f"{service}: {pool} is exhausted by {', '.join(self._held)}; enlarge {args.setting}")
        self._held[service] = address
        return ServiceAddress(pool=self.pool_name, address=address, ready=self.ready)
