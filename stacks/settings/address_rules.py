"""The rules about addresses: which are taken, which belong together, and which nothing can have.

Owns those rules; `rules` runs them together with the others. Each is a generator of findings over settings whose types
and formats have already been checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Final
from urllib.parse import urlsplit

from components.kit.address_range import AddressRange
from components.kit.ports import HTTPS
from stacks.settings.machine_rules import Findings
from stacks.settings.model import Settings

_SPECIAL: Final = {
    IPv4Network("0.0.0.0/8"): "no host's address",
    IPv4Network("127.0.0.0/8"): "a loopback address, by which every machine reaches itself",
    IPv4Network("169.254.0.0/16"): "a link-local address",
    IPv4Network("224.0.0.0/4"): "a multicast address",
    IPv4Network("240.0.0.0/4"): "a reserved address",
}
"""What no other host can have: https://www.iana.org/assignments/iana-ipv4-special-registry."""

_PRIVATE: Final = {
    **dict.fromkeys(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")), "a private address"),
    IPv4Network("100.64.0.0/10"): "an address behind a provider's translation, or of a tailnet",
}
"""What is not reached from the internet, from the same list."""

_TAILNET: Final = IPv4Network("100.64.0.0/10")
"""The addresses that Tailscale gives to nodes: https://tailscale.com/kb/1015/100.x-addresses."""

_POD_BLOCK = 24
"""Prefix length of each node's part of the pod network: kube-controller-manager's --node-cidr-mask-size."""


def _addresses(settings: Settings) -> Findings:
    """Addresses that must be unique, inside the subnet and outside the pools."""
    network = settings.network
    pools = named_pools(settings)
    taken: dict[IPv4Address, str] = {}
    for place, address, must_be_inside in _machines(settings):
        here = ".".join(place)
        if address not in network.subnet:
            if must_be_inside:
                yield (
                    place,
                    f"{address} is outside network.subnet {network.subnet}; choose an address in that subnet",
                )
            continue
        if end := _end(network.subnet, address):
            yield place, f"{address} is the {end} of network.subnet {network.subnet}; choose another"
        elif address in taken:
            yield place, f"{address} is already used by {taken[address]}; choose a free address"
        elif pool := next((name for name, pool in pools.items() if address in pool), None):
            yield (
                place,
                f"{address} lies in network.pools.{pool} {pools[pool]}, which MetalLB assigns; choose an "
                "address outside the pools",
            )
        taken.setdefault(address, here)


def _machines(settings: Settings) -> Iterator[tuple[tuple[str, ...], IPv4Address, bool]]:
    """Every individual address with its location, and whether it must be in the subnet."""
    yield ("network", "gateway"), settings.network.gateway, True
    if endpoint := _literal(urlsplit(settings.site.endpoint).hostname):
        yield ("site", "endpoint"), endpoint, False
    if settings.edge is not None:
        yield ("edge", "address"), settings.edge.address, False
    yield ("network", "apiVip"), settings.network.api_vip, True
    for name, node in settings.nodes.items():
        yield ("nodes", name, "address"), node.address, True


def _resolvers(settings: Settings) -> Findings:
    for index, address in enumerate(settings.network.resolvers):
        if address == settings.network.gateway:
            continue  # A clash with the gateway is reported for the other address.
        if what := inside_the_cluster(settings, address):
            yield (
                ("network", "resolvers", index),
                f"{address} belongs to the cluster ({what}) and answers only once the cluster runs; choose a resolver "
                "outside the cluster",
            )


def _pools(settings: Settings) -> Findings:
    subnet = settings.network.subnet
    pools = named_pools(settings)
    for name, pool in pools.items():
        place = ("network", "pools", name)
        if pool.first not in subnet or pool.last not in subnet:
            yield place, f"{pool} is not inside network.subnet {subnet}; choose addresses in that subnet"
        else:
            for address in (subnet.network_address, subnet.broadcast_address):
                if address in pool:
                    yield (
                        place,
                        f"{pool} contains {address}, the {_end(subnet, address)} of network.subnet {subnet}; omit it",
                    )
    for (name, pool), (other_name, other) in combinations(pools.items(), 2):
        if pool.overlaps(other):
            yield (
                ("network", "pools", other_name),
                f"{other} overlaps network.pools.{name} {pool}; give each pool its own addresses",
            )


def _networks(settings: Settings) -> Findings:
    network = settings.network
    named = {"subnet": network.subnet, "podCidr": network.pod_cidr, "serviceCidr": network.service_cidr}
    for (name, one), (other_name, other) in combinations(named.items(), 2):
        if one.overlaps(other):
            yield (
                ("network", other_name),
                f"{other} overlaps network.{name} {one}; choose a network that is not used elsewhere",
            )
    spare_bits = _POD_BLOCK - network.pod_cidr.prefixlen
    room = 1 << spare_bits if spare_bits >= 0 else 0
    if room < len(settings.nodes):
        yield (
            ("network", "podCidr"),
            f"{network.pod_cidr} has room for {room} nodes with a /{_POD_BLOCK} each, the cluster has "
            f"{len(settings.nodes)}; choose a larger network",
        )


def _public_resolvers(settings: Settings) -> Findings:
    for index, address in enumerate(settings.certificates.resolvers):
        if owner := inside_the_cluster(settings, address):
            yield (
                ("certificates", "resolvers", index),
                f"{address} belongs to the cluster ({owner}), which resolves only its own names; choose a public "
                "resolver, or one that answers like it",
            )


def _secondaries(settings: Settings) -> Findings:
    """A secondary is another name server: the cluster's own would be told of changes that it has made itself."""
    places: list[tuple[tuple[str | int, ...], IPv4Address]] = [
        (("dns", "transfer", "notify", index), address) for index, address in enumerate(settings.dns.transfer.notify)
    ]
    if settings.edge:
        places.append((("edge", "secondary", "address"), settings.edge.secondary.address))
    for place, address in places:
        if owner := inside_the_cluster(settings, address):
            yield (
                place,
                f"{address} belongs to the cluster ({owner}), which has the zone already; give the address of the "
                "other name server",
            )


def inside_the_cluster(settings: Settings, address: IPv4Address) -> str | None:
    """The setting that makes an address part of the cluster, if there is one."""
    owners = {node.address: f"nodes.{name}.address" for name, node in settings.nodes.items()}
    owners[settings.network.api_vip] = "network.apiVip"
    pool = next((f"network.pools.{name}" for name, pool in named_pools(settings).items() if address in pool), None)
    return owners.get(address, pool)


def named_pools(settings: Settings) -> dict[str, AddressRange]:
    pools = settings.network.pools
    return {"ingress": pools.ingress, "dns": pools.dns, "services": pools.services}


def _end(network: IPv4Network, address: IPv4Address) -> str | None:
    ends = {network.network_address: "network address", network.broadcast_address: "broadcast address"}
    return ends.get(address)


def _inner_networks(settings: Settings) -> Findings:
    """The networks of pods and services must be such that a packet for them is routed into the cluster."""
    network = settings.network
    inner = {"podCidr": (network.pod_cidr, "10.244.0.0/16"), "serviceCidr": (network.service_cidr, "10.96.0.0/12")}
    for key, (one, usual) in inner.items():
        if noun := _special(settings, one):
            yield ("network", key), f"{one} contains {noun}; choose a private network, such as {usual}"
        elif one.is_global:
            yield (
                ("network", key),
                f"{one} belongs to the internet, whose hosts there would be out of reach; choose a private network, "
                f"such as {usual}",
            )
    if settings.talos.extensions.tailscale:
        for key, (one, usual) in {"subnet": (network.subnet, "10.0.0.0/16"), **inner}.items():
            if one.overlaps(_TAILNET):
                yield (
                    ("network", key),
                    f"{one} overlaps {_TAILNET}, from which Tailscale gives nodes their addresses; choose another "
                    f"private network, such as {usual}",
                )


def _hosts_outside(settings: Settings) -> Findings:
    """Hosts that the cluster reaches must not have addresses that it looks for inside."""
    network = settings.network
    for place, address in _outside(settings):
        inner = {"podCidr": (network.pod_cidr, "pods"), "serviceCidr": (network.service_cidr, "services")}
        for key, (one, owners) in inner.items():
            if address in one and not one.overlaps(network.subnet):
                yield (
                    place,
                    f"{address} lies in network.{key} {one}, where the cluster looks for its own {owners}; correct "
                    f"the address, or choose another network.{key}",
                )
        if noun := _special(settings, address):
            yield place, f"{address} is {noun}; give the address at which the cluster reaches the host"
    edge = settings.edge
    if edge and not _special(settings, edge.address) and not edge.address.is_loopback:
        for network_, noun in _PRIVATE.items():
            if edge.address in network_:
                yield (
                    ("edge", "address"),
                    f"{edge.address} is {noun}, which nobody on the internet reaches; give the host's public address",
                )


def _outside(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], IPv4Address]]:
    """Every address of a host outside the cluster that the cluster must reach, with its location."""
    if endpoint := _literal(urlsplit(settings.site.endpoint).hostname):
        yield ("site", "endpoint"), endpoint
    if settings.edge and (ssh := _literal(settings.edge.ssh.host)):
        yield ("edge", "ssh", "host"), ssh
    lists = {
        ("network", "resolvers"): settings.network.resolvers,
        ("certificates", "resolvers"): settings.certificates.resolvers,
        ("dns", "transfer", "notify"): settings.dns.transfer.notify,
    }
    for place, addresses in lists.items():
        for index, address in enumerate(addresses):
            yield (*place, index), address
    if settings.dns.public_address:
        yield ("dns", "publicAddress"), settings.dns.public_address
    if settings.edge:
        yield ("edge", "address"), settings.edge.address
        yield ("edge", "secondary", "address"), settings.edge.secondary.address


def _literal(host: str | None) -> IPv4Address | None:
    """The address that a host is given by, if it is given by one."""
    try:
        return IPv4Address(host)
    except ValueError:
        return None


def _backends(settings: Settings) -> Findings:
    """The router must not forward to itself: each connection would come back until none is left."""
    edge = settings.edge
    if edge is None:
        return
    backends = [(("edge", "sites", name), backend) for name, backend in edge.sites.items()]
    otherwise = [(("edge", "otherwise"), edge.otherwise)] if edge.otherwise else []
    for place, backend in (*backends, *otherwise):
        for index, address in enumerate(backend.addresses):
            noun = None if address.is_loopback else _special(settings, address)
            if noun:
                yield (
                    (*place, "addresses", index),
                    f"{address} is {noun}; give the address at which the edge reaches the host",
                )
            here = address in (edge.address, edge.secondary.address) or address.is_loopback
            if here and backend.port == HTTPS:
                yield (
                    (*place, "addresses", index),
                    f"{address} with port {HTTPS} is the edge host's own router, which would forward to itself; give "
                    "another port, or the address of another host",
                )


def _special(settings: Settings, one: IPv4Address | IPv4Network) -> str | None:
    """What is special about an address, or about one in a network; loopback is not where the whole site lives there."""
    lives_there = settings.network.subnet.is_loopback
    for network, noun in _SPECIAL.items():
        if network.is_loopback and lives_there:
            continue
        if network.overlaps(one) if isinstance(one, IPv4Network) else one in network:
            return noun
    return None


RULES: Final = (
    _addresses,
    _resolvers,
    _pools,
    _networks,
    _public_resolvers,
    _secondaries,
    _inner_networks,
    _hosts_outside,
    _backends,
)
"""In the order in which their findings are reported."""
