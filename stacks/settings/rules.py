"""The rules between values of the configuration, which no single value can be checked for.

Owns the list of all rules, and those about addresses and dependencies between settings. Those about machines are in
`machine_rules`. Each rule is a generator of findings over settings whose
types and formats have already been checked; a value that one rule refused is not refused again for the consequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network, ip_address
from itertools import combinations
from urllib.parse import urlsplit

from components.kit.address_range import AddressRange
from components.kit.spelling import did_you_mean
from stacks.application_secrets import SECRETS, DeclaredSecret, unknown
from stacks.settings import machine_rules
from stacks.settings.errors import path
from stacks.settings.machine_rules import Findings
from stacks.settings.model import SNAPSHOT_USER, Settings
from stacks.sso import groups

_POD_BLOCK = 24
"""Prefix length of each node's part of the pod network: kube-controller-manager's --node-cidr-mask-size."""


def check(settings: Settings) -> list[str]:
    """All findings, one line each; empty if there are none."""
    rules = (
        *machine_rules.RULES,
        _addresses,
        _resolvers,
        _pools,
        _networks,
        _tailscale,
        _edge,
        _identity,
        _snapshots,
        _dns,
        _public_resolvers,
        rotation,
    )
    return [f"{path(place)}: {text}" for rule in rules for place, text in rule(settings)]


def needed_by_up(settings: Settings) -> list[str]:
    """Findings about what a preview can do without, and an `up` cannot; empty if there are none."""
    return [f"{path(place)}: {text}" for place, text in _edge_secured(settings)]


def _edge_secured(settings: Settings) -> Findings:
    """Edge and cluster must know each other by keys: by an address alone, anybody in between would be taken for one."""
    edge = settings.edge
    if edge is None:
        return
    if edge.ssh.host_key is None:
        host = edge.ssh.host or str(edge.address)
        yield (
            ("edge", "ssh", "hostKey"),
            f"missing, so any server that answers at {host} would get what the edge is told; set it to what "
            f"`ssh-keyscan -t ed25519 {host}` prints after the address, once `ssh-keygen -lf "
            "/etc/ssh/ssh_host_ed25519_key.pub` on the host's own console has shown the same fingerprint",
        )
    if edge.secondary.tsig is None:
        yield (
            ("edge", "secondary", "tsig"),
            "missing, so whoever has an address that may transfer the zone gets all of it, unsigned; set it to "
            "{ name: edge }, and its key with `openssl rand -base64 32 | pulumi config set --secret "
            "homelab:edgeTsigKey`",
        )


def _addresses(settings: Settings) -> Findings:
    """Addresses that must be unique, inside the subnet and outside the pools."""
    network = settings.network
    pools = _named_pools(settings)
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
    try:
        endpoint = ip_address(urlsplit(settings.site.endpoint).hostname or "")
    except ValueError:
        endpoint = None
    if isinstance(endpoint, IPv4Address):
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
        if what := _inside_the_cluster(settings, address):
            yield (
                ("network", "resolvers", index),
                f"{address} belongs to the cluster ({what}) and answers only once the cluster runs; choose a resolver "
                "outside the cluster",
            )


def _pools(settings: Settings) -> Findings:
    subnet = settings.network.subnet
    pools = _named_pools(settings)
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


def _tailscale(settings: Settings) -> Findings:
    if settings.talos.extensions.tailscale:
        return
    tailscale = settings.tailscale
    values = {
        "routes": ", ".join(map(str, tailscale.routes)),
        "tags": ", ".join(tailscale.tags),
        "loginServer": tailscale.login_server,
    }
    for key, value in values.items():
        if value:
            yield (
                ("tailscale", key),
                f"{value} has no effect while talos.extensions.tailscale is false; set that to true, or remove this",
            )


def _edge(settings: Settings) -> Findings:
    edge = settings.edge
    if edge is None:
        return
    for name in edge.sites:
        if f".{name.removeprefix('*.')}".endswith(f".{settings.cluster.domain}"):
            yield (
                ("edge", "sites", name),
                f"lies below cluster.domain {settings.cluster.domain}, whose names go to the cluster; create an "
                "Ingress for it there, or choose a name outside that domain",
            )
    if edge.headscale:
        missing = {
            "talos.extensions.tailscale": not settings.talos.extensions.tailscale,
            "tailscale.loginServer": settings.tailscale.login_server is None,
            "tailscale.tags": not settings.tailscale.tags,
        }
        needed = [key for key, is_missing in missing.items() if is_missing]
        if needed:
            yield (
                ("edge", "headscale"),
                f"true needs {', '.join(needed)}, so that nodes join its tailnet and are recognised by a tag; set "
                "what is missing, or set this to false",
            )
    if settings.talos.extensions.tailscale:
        for name in ("ingress", "dns"):
            address = _named_pools(settings)[name].first
            if not any(address in route for route in settings.tailscale.routes):
                yield (
                    ("tailscale", "routes"),
                    f"no route covers network.pools.{name} {address}, which the edge host must reach; add {address}/32 "
                    "or a network that contains it",
                )


def _identity(settings: Settings) -> Findings:
    known, users = groups(), settings.identity.users
    for name, user in users.items():
        for index, group in enumerate(user.groups):
            if group not in known:
                remedy = did_you_mean(group, known) or f"choose one of {', '.join(known)}"
                yield ("identity", "users", name, "groups", index), f"{group!r} is not a known group; {remedy}"
    first: dict[str, str] = {}
    for name, user in users.items():
        if (other := first.setdefault(user.email.lower(), name)) != name:
            yield (
                ("identity", "users", name, "email"),
                f"{user.email} is also the address of {other}, but services identify people by it; give each their own",
            )


def _snapshots(settings: Settings) -> Findings:
    if settings.storage.snapshots and settings.site.username != SNAPSHOT_USER:
        yield (
            ("storage", "snapshots"),
            f"true needs Proxmox's root password in the cluster, as Proxmox allows only {SNAPSHOT_USER} to copy a "
            f"volume; set site.username to {SNAPSHOT_USER} and proxmoxPassword, or set this to false",
        )


def _dns(settings: Settings) -> Findings:
    dns = settings.dns
    if settings.edge:
        for key, value, decided in (
            ("nameserver", dns.nameserver, "secondary.name"),
            ("publicAddress", dns.public_address, "address"),
        ):
            if value:
                yield ("dns", key), f"{value} has no effect because edge.{decided} takes precedence; remove it"
    elif dns.public_address and (owner := _inside_the_cluster(settings, dns.public_address)):
        yield (
            ("dns", "publicAddress"),
            f"{dns.public_address} belongs to the cluster ({owner}), so it cannot be reached from outside; give the "
            "address of the host that forwards connections, or omit the key",
        )


def _public_resolvers(settings: Settings) -> Findings:
    for index, address in enumerate(settings.certificates.resolvers):
        if owner := _inside_the_cluster(settings, address):
            yield (
                ("certificates", "resolvers", index),
                f"{address} belongs to the cluster ({owner}), which resolves only its own names; choose a public "
                "resolver, or one that answers like it",
            )


def _inside_the_cluster(settings: Settings, address: IPv4Address) -> str | None:
    """The setting that makes an address part of the cluster, if there is one."""
    owners = {node.address: f"nodes.{name}.address" for name, node in settings.nodes.items()}
    owners[settings.network.api_vip] = "network.apiVip"
    pool = next((f"network.pools.{name}" for name, pool in _named_pools(settings).items() if address in pool), None)
    return owners.get(address, pool)


def _named_pools(settings: Settings) -> dict[str, AddressRange]:
    pools = settings.network.pools
    return {"ingress": pools.ingress, "dns": pools.dns, "services": pools.services}


def _end(network: IPv4Network, address: IPv4Address) -> str | None:
    ends = {network.network_address: "network address", network.broadcast_address: "broadcast address"}
    return ends.get(address)


def rotation(settings: Settings, secrets: Mapping[str, DeclaredSecret] = SECRETS) -> Findings:
    """Every entry of `homelab:rotation` must name a secret, or it would have no effect."""
    for name in settings.rotation:
        if wrong := unknown(name, secrets):
            yield ("rotation", name), wrong
