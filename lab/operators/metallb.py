"""MetalLB: its controller's addresses for Services, and which of its speakers announces one.

After controller/service.go, internal/allocator/allocator.go and internal/config/config.go of MetalLB 0.16. Sharing of
an address, address families other than IPv4, and selectors of pools or nodes are not played: the program uses none.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import Any

from lab.operators.world import PLAYED_BY, Kind, Object, Outcome, Rule, World, digest, event, key

SERVICE = Kind("Service", "v1", "services")
POOL = Kind("IPAddressPool", "metallb.io/v1beta1", "ipaddresspools")
ADVERTISEMENT = Kind("L2Advertisement", "metallb.io/v1beta1", "l2advertisements")
ANNOUNCED = Kind("ServiceL2Status", "metallb.io/v1beta1", "servicel2statuses")

CONTROLLER = "metallb-controller"
WANTED_POOL, WANTED, GIVEN_FROM = (
    f"metallb.io/{x}" for x in ("address-pool", "loadBalancerIPs", "ip-allocated-from-pool")
)


def _service(item: Object, world: World) -> Outcome | None:
    if item["spec"].get("type") != "LoadBalancer":
        return None
    try:
        address, pool = _allocated(item, world)
    except LookupError as refusal:
        return _without(item, str(refusal))
    status = {"loadBalancer": {"ingress": [{"ip": str(address), "ipMode": "VIP"}]}}
    return Outcome(status, _announced(item, pool, world), {GIVEN_FROM: pool})


def _without(item: Object, refusal: str) -> Outcome:
    told = event(item, CONTROLLER, "AllocationFailed", f'Failed to allocate IP for "{"/".join(key(item))}": {refusal}')
    return Outcome({"loadBalancer": {}}, [told], {GIVEN_FROM: None})


def _allocated(item: Object, world: World) -> tuple[IPv4Address, str]:
    """The address of a Service and its pool. Raises LookupError in the allocator's words when there is none."""
    annotations = item["metadata"].get("annotations") or {}
    wanted, pool = annotations.get(WANTED), annotations.get(WANTED_POOL)
    pools = {each["metadata"]["name"]: each["spec"] for each in world.all(POOL.name)}
    taken = {address: owner for owner, address in _given(world) if owner != key(item)}
    if wanted:
        address = IPv4Address(wanted)
        found = next((name for name, spec in pools.items() if address in _networks(spec)), None)
        if found is None:
            raise LookupError(f'["{wanted}"] is not allowed in config')
        if address in taken:
            ours, theirs = "/".join(key(item)), "/".join(taken[address])
            raise LookupError(f'can\'t change sharing key for "{ours}", address also in use by {theirs}')
        if pool and pool != found:
            raise LookupError(
                f'requested loadBalancer IP(s) ["{wanted}"] is not compatible with requested address pool {pool}'
            )
        return address, found
    if pool and pool not in pools:
        raise LookupError(f'unknown pool "{pool}"')
    mine = [address for owner, address in _given(world) if owner == key(item)]
    candidates = [pool] if pool else [name for name, spec in pools.items() if spec.get("autoAssign", True)]
    for name in candidates:
        for address in [each for each in mine if each in _networks(pools[name])] or _networks(pools[name]).every():
            if address not in taken:
                return address, name
    raise LookupError(f"no available IPs in pool {pool}" if pool else "no available IPs")


def _given(world: World) -> Iterator[tuple[tuple[str, str], IPv4Address]]:
    for each in world.all(SERVICE.name):
        for entry in each.get("status", {}).get("loadBalancer", {}).get("ingress") or []:
            if "ip" in entry:
                yield key(each), IPv4Address(entry["ip"])


class _networks:  # noqa: N801 - a function that gives a set
    """The addresses of a pool."""

    def __init__(self, spec: Object) -> None:
        self._all: list[IPv4Network] = []
        for text in spec["addresses"]:
            first, dash, last = text.partition("-")
            if dash:
                ends = IPv4Address(first.strip()), IPv4Address(last.strip())
                self._all += summarize_address_range(*ends)
            else:
                self._all.append(IPv4Network(text))

    def __contains__(self, address: object) -> bool:
        return any(address in network for network in self._all)

    def every(self) -> Iterator[IPv4Address]:
        """One after another."""
        for network in self._all:
            yield from network


def announcing(pool: str, world: World) -> bool:
    """Whether an advertisement is for a pool: one that names no pool is for all."""
    for each in world.all(ADVERTISEMENT.name):
        named = each.get("spec", {}).get("ipAddressPools") or []
        if pool in named or not named:
            return True
    return False


def _announced(item: Object, pool: str, world: World) -> list[dict[str, Any]]:
    """What the speaker that announces an address says of it; nothing where no advertisement is for the pool."""
    node = next((pod for pod in world.all("Pod") if _speaks(pod)), None)
    if node is None or not announcing(pool, world):
        return []
    namespace, name = key(item)
    labels = {"metallb.io/service-name": name, "metallb.io/service-namespace": namespace, PLAYED_BY: "lab"}
    metadata = {"name": f"l2-{digest(f'{namespace}/{name}')}", "namespace": node["metadata"]["namespace"]}
    status = {"node": node["spec"]["nodeName"], "serviceName": name, "serviceNamespace": namespace}
    made = {"apiVersion": ANNOUNCED.api_version, "kind": ANNOUNCED.name, "metadata": metadata | {"labels": labels}}
    return [made | {"spec": {}, "status": status}]


def _speaks(pod: Object) -> bool:
    labels = pod["metadata"].get("labels") or {}
    mine = labels.get("app.kubernetes.io/name") == "metallb" and labels.get("app.kubernetes.io/component") == "speaker"
    return mine and pod.get("status", {}).get("phase") == "Running" and "nodeName" in pod["spec"]


RULES = (Rule(SERVICE, CONTROLLER, _service),)
