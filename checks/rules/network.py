"""Addresses and networks: every literal is well formed, lies where it should, and is used once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from checks.graph import reveal
from checks.model.objects import Object, walk
from checks.model.platform import Platform
from checks.model.program import HIDDEN
from checks.rules.rule import Finding, finding, rule

_LITERAL = re.compile(r"(?<![\w.:-])((?:\d{1,3}\.){3}\d{1,3})(/\d{1,2})?(?![\w.])")
_PRIVATE = tuple(IPv4Network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_SHARED = "metallb.io/allow-shared-ip"
WANTED = ("metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs")
"""Annotations by which a Service asks MetalLB for addresses."""


@rule(
    "host-bits",
    title="A network is written with its own first address",
    why="What parses networks strictly refuses it: Tailscale's extension, MetalLB and Talos stop at their start.",
    remedy="Write the network itself.",
    fast=True,
)
def host_bits(platform: Platform) -> Iterator[Finding]:
    """Networks with host bits, in settings, machine configurations and objects."""
    for owner, path, text, where in _texts(platform):
        for match in _LITERAL.finditer(text):
            if match.group(2) is None:
                continue
            try:
                network = IPv4Network(match.group(0), strict=False)
            except ValueError as error:
                yield finding(owner, path, f"holds {match.group(0)}, which is no network: {error}", where)
                continue
            interface = re.search(r"address", path, re.IGNORECASE) and not re.search(r"addresses", path, re.IGNORECASE)
            if str(network.network_address) != match.group(1) and not interface:
                problem = f"holds {match.group(0)}, which has host bits: the network is {network}"
                yield finding(owner, path, problem, where, f"Write {network}.")


def _texts(platform: Platform) -> Iterator[tuple[str, str, str, str]]:
    """Texts that people or the program write: settings, machine configurations, own objects, values of releases."""
    for path, value in walk(platform.settings):
        if isinstance(value, str):
            yield "the settings", path, value, f"Pulumi.{platform.stack}.yaml"
    for document in platform.talos.patches:
        for path, value in walk(document):
            if isinstance(value, str):
                yield f"the Talos configuration ({document.get('kind', 'v1alpha1')})", path, value, platform.talos.where
    for thing in platform.objects:
        own = thing.release is None or thing.release.own
        if own and thing.manager.system != "operator" and thing.kind not in ("Secret", "CustomResourceDefinition"):
            named = str(thing)
            for path, value in walk(thing.content):
                if isinstance(value, str) and len(value) < 10_000:
                    yield named, path, value, thing.where
    for release in platform.releases:
        named = str(release)
        for path, value in walk(release.values):
            if isinstance(value, str) and value != HIDDEN:
                yield named, f"values.{path}", value, release.where


@rule(
    "undeclared-address",
    title="A private address lies in a network or is an address that the settings declare",
    why="After a change of the networks, what was left behind points at nothing.",
    remedy="Take the address from the settings, or declare its network there.",
    fast=True,
)
def literals(platform: Platform) -> Iterator[Finding]:
    """Addresses of private networks that no setting names."""
    declared = list(_declared(platform))
    seen = set()
    for owner, path, text, where in _texts(platform):
        if owner == "the settings":
            continue
        for match in _LITERAL.finditer(text):
            try:
                address = IPv4Address(match.group(1))
            except ValueError:
                continue
            if not any(address in net for net in _PRIVATE) or any(address in net for net in declared):
                continue
            if match.group(2) and IPv4Network(match.group(0), strict=False) in _PRIVATE:
                continue  # a whole private range, as policies name it
            if (owner, str(address)) not in seen:
                seen.add((owner, str(address)))
                shown = ", ".join(str(net) for net in _networks(platform))
                yield finding(
                    owner, path, f"holds {address}, which is in none of the declared networks ({shown})", where
                )


def _networks(platform: Platform) -> list[IPv4Network]:
    network = platform.settings.get("network") or {}
    names = ("subnet", "podCidr", "serviceCidr")
    defaults = {"podCidr": "10.244.0.0/16", "serviceCidr": "10.96.0.0/12"}
    found = [network.get(name) or defaults.get(name) for name in names]
    return [IPv4Network(str(one), strict=False) for one in found if one]


def _declared(platform: Platform) -> Iterator[IPv4Network]:
    yield from _networks(platform)
    for _, value in walk(platform.settings):
        if isinstance(value, str):
            for match in _LITERAL.finditer(value):
                # A whole private range among the settings says who may come, not where anything lies.
                try:
                    network = IPv4Network(match.group(0), strict=False)
                except ValueError:
                    continue
                if network not in _PRIVATE:
                    yield network


@rule(
    "address-pool",
    title="Each pool of addresses lies in the nodes' network, is in order, and is apart from all others",
    why="MetalLB refuses the pool, or announces an address that the site's router does not expect there.",
    remedy="Give a range of free addresses in the subnet.",
    fast=True,
)
def pools(platform: Platform) -> Iterator[Finding]:
    """Pools outside the subnet, backwards, overlapping, or on an address that is taken."""
    subnet = _networks(platform)[0] if _networks(platform) else None
    ranges: list[tuple[Object, str, IPv4Address, IPv4Address]] = []
    for pool in platform.of_kind("metallb.io", "IPAddressPool"):
        for number, text in enumerate(pool.spec.get("addresses") or []):
            place = f"spec.addresses[{number}]"
            try:
                first, last = address_range(str(text))
            except ValueError as error:
                yield finding(pool, place, f"holds {text}, which is no range: {error}", pool.where)
                continue
            if last < first:
                yield finding(pool, place, f"holds {text}, which ends before it begins: {last}-{first}", pool.where)
            elif subnet is not None and not (first in subnet and last in subnet):
                yield finding(pool, place, f"holds {text}, which is outside the nodes' network {subnet}", pool.where)
            ranges.append((pool, place, first, last))
    for (pool, place, first, last), (other, _, start, end) in combinations(ranges, 2):
        if first <= end and start <= last:
            yield finding(other, place, f"overlaps {pool} ({first}-{last}): {start}-{end}", other.where)
    yield from _taken(platform, ranges)


def _taken(platform: Platform, ranges: list[tuple[Object, str, IPv4Address, IPv4Address]]) -> Iterator[Finding]:
    network = platform.settings.get("network") or {}
    used = {str(network.get("apiVip")): "network.apiVip", str(network.get("gateway")): "network.gateway"}
    nodes = platform.settings.get("nodes") or {}
    used |= {
        str(node.get("address")): f"nodes.{name}.address" for name, node in nodes.items() if isinstance(node, dict)
    }
    for pool, place, first, last in ranges:
        for address, owner in used.items():
            if _LITERAL.fullmatch(address) and first <= IPv4Address(address) <= last:
                yield finding(pool, place, f"holds {address}, which is {owner}", pool.where)


def address_range(text: str) -> tuple[IPv4Address, IPv4Address]:
    """The first and the last address of a pool's entry.

    Raises:
        ValueError: it is neither a network nor a range.
    """
    if "/" in text:
        network = IPv4Network(text)
        return network[0], network[-1]
    first, _, last = text.partition("-")
    return IPv4Address(first.strip()), IPv4Address((last or first).strip())


@rule(
    "service-ip",
    title="An address that a Service asks for is in a pool, and no other Service has it",
    why="MetalLB assigns no address, and the Service stays pending.",
    remedy="Ask for an address of a pool, or let both Services share one by metallb.io/allow-shared-ip.",
)
def services(platform: Platform) -> Iterator[Finding]:
    """Addresses of Services that are in no pool or that two Services ask for."""
    ranges: dict[str, list[tuple[IPv4Address, IPv4Address]]] = defaultdict(list)
    for pool in platform.of_kind("metallb.io", "IPAddressPool"):
        for text in pool.spec.get("addresses") or []:
            try:
                ranges[pool.name].append(address_range(str(text)))
            except ValueError:
                continue
    asked: dict[str, list[Object]] = defaultdict(list)
    for service in platform.of_kind("", "Service"):
        wanted = next((str(service.annotations[key]) for key in WANTED if service.annotations.get(key)), "")
        wanted = wanted or str(service.spec.get("loadBalancerIP") or "")
        named = str(service.annotations.get("metallb.io/address-pool") or "")
        for text in filter(None, (part.strip() for part in wanted.split(","))):
            asked[text].append(service)
            among = {name: parts for name, parts in ranges.items() if not named or name == named}
            if ranges and not any(
                first <= IPv4Address(text) <= last for parts in among.values() for first, last in parts
            ):
                shown = "; ".join(f"{name} {a}-{b}" for name, parts in among.items() for a, b in parts)
                yield finding(
                    service,
                    f"metadata.annotations[{WANTED[0]}]",
                    f"asks for {text}, which no pool has: {shown}",
                    service.where,
                )
    for text, declared in asked.items():
        sharing = {str(one.annotations.get(_SHARED) or "") for one in declared}
        if len(declared) > 1 and (len(sharing) > 1 or "" in sharing):
            others = ", ".join(str(one) for one in declared[:-1])
            problem = f"asks for {text} as {others} does, and they do not share it"
            yield finding(declared[-1], f"metadata.annotations[{_SHARED}]", problem, declared[-1].where)


@rule(
    "inner-network",
    title="The networks of pods and Services overlap neither each other nor the nodes' network",
    why="Traffic to an address that exists twice goes to the wrong one.",
    remedy="Give each a network of its own.",
    fast=True,
)
def inner(platform: Platform) -> Iterator[Finding]:
    """Overlapping networks in the machine configurations."""
    named: list[tuple[str, IPv4Network]] = []
    for field in ("podSubnets", "serviceSubnets"):
        texts = {str(text) for found in platform.talos.cluster("network", field) for text in found}
        named += [(f"cluster.network.{field}", IPv4Network(text, strict=False)) for text in sorted(texts)]
    subnet = (platform.settings.get("network") or {}).get("subnet")
    if subnet:
        named.append(("network.subnet", IPv4Network(str(subnet), strict=False)))
    for (field, one), (other, two) in combinations(named, 2):
        if one.overlaps(two):
            yield finding("the Talos configuration", field, f"{one} overlaps {other} {two}", platform.talos.where)


_TALOS_API = (
    "talos:machine/configurationApply:ConfigurationApply",
    "talos:machine/bootstrap:Bootstrap",
    "talos:cluster/kubeconfig:Kubeconfig",
)


@rule(
    "address-before-its-owner",
    title="Nothing that makes the cluster reaches it by an address that the cluster itself serves",
    why="The address answers only once what waits for it has run: each waits for the other.",
    remedy="Reach the first control plane by its own address.",
    fast=True,
)
def endpoints(platform: Platform) -> Iterator[Finding]:
    """Steps of the bootstrap that use the API's virtual address or a pool's."""
    network = platform.settings.get("network") or {}
    served = {str(network.get("apiVip")): "the Talos VIP (Layer2VIPConfig), which needs etcd"}
    for name, text in (network.get("pools") or {}).items():
        served[str(text).partition("-")[0]] = f"MetalLB's pool {name}, which needs the cluster"
    for node in platform.graph.resources():
        talos, command = node.type in _TALOS_API, node.type == "command:local:Command"
        if not talos and not command:
            continue
        inputs = reveal(node.inputs)
        texts = {key: inputs.get(key) for key in ("node", "endpoint")} if talos else {}
        if command:
            texts = {f"environment.{k}": v for k, v in (inputs.get("environment") or {}).items()}
        for field, text in texts.items():
            found = [match.group(1) for match in _LITERAL.finditer(text)] if isinstance(text, str) else []
            for address in dict.fromkeys(one for one in found if one in served):
                chain = ", ".join(platform.order.label(urn) for urn in node.dependencies[:4])
                problem = f"has {address}, an address of {served[address]}; it waits for {chain}"
                yield finding(platform.order.label(node.urn), field, problem, node.source)
